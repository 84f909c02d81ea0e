
_aurora() {
    local path_=${words[1]:t} word
    local -a found
    for word in ${words[2,CURRENT-1]}; do
        if [[ " ${_aurora_commands[$path_]} " == *" $word "* ]]; then
            path_="$path_ $word"
        fi
    done
    if [[ $PREFIX == -* ]]; then
        found=(${=_aurora_options[$path_]})
        compadd -S '' -- ${(M)found:#*=}
        compadd -- ${found:#*=}
    else
        found=(${=_aurora_commands[$path_]})
        if (( $#found )); then
            compadd -- $found
        else
            _files
        fi
    fi
}

_aurora "$@"
