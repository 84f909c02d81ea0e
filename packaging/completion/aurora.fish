
function __aurora_complete
    set -l words (commandline -opc)
    set -l path (basename $words[1])
    for word in $words[2..-1]
        if contains -- $word (__aurora_words $path | string match 'command*' | cut -f 2)
            set path "$path $word"
        end
    end
    set -l kind command
    string match -q -- '-*' (commandline -ct); and set kind option
    __aurora_words $path | string match "$kind*" | cut -f 2-
end
