
_aurora_complete() {
    local cur=${COMP_WORDS[COMP_CWORD]} path=${COMP_WORDS[0]##*/} i words
    for ((i = 1; i < COMP_CWORD; i++)); do
        case " ${_aurora_commands[$path]} " in
            *" ${COMP_WORDS[i]} "*) path="$path ${COMP_WORDS[i]}" ;;
        esac
    done
    COMPREPLY=()
    # A value after its flag's = is a file or nothing that could be known here.
    if [[ $cur == = || ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
        compopt -o default 2>/dev/null
        return
    fi
    words=${_aurora_commands[$path]}
    [[ $cur == -* ]] && words=${_aurora_options[$path]}
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    if ((${#COMPREPLY[@]} == 0)); then
        compopt -o default 2>/dev/null
    elif [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
