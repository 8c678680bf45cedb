# fish completion for droverctl(8). Commands and options are those that its --help names; settings and slots
# are asked of the daemon, and without one there are none.

function __droverctl_words
	commandline -opc
end

# The daemon that the line means.
function __droverctl_ask
	set -l words (__droverctl_words)
	set -l asked $words[1]
	for i in (seq 2 (count $words))
		if contains -- "$words[$i]" -s --socket -i --instance
			set -l value (math $i + 1)
			set asked $asked $words[$i] $words[$value]
		end
	end
	command $asked $argv 2>/dev/null
end

# The command of the line, if it is there already.
function __droverctl_command
	set -l words (__droverctl_words)
	set -l skip 0
	for word in $words[2..-1]
		if test $skip = 1
			set skip 0
		else if contains -- $word -s --socket -i --instance
			set skip 1
		else if not string match -q -- '-*' $word
			echo $word
			return 0
		end
	end
	return 1
end

function __droverctl_commands
	set -l words (__droverctl_words)
	command $words[1] --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\).*/\1/p'
end

function __droverctl_options
	set -l words (__droverctl_words)
	set -l name (__droverctl_command)
	command $words[1] --help 2>/dev/null | awk -v command="$name" '
		/^  [a-z]/ { name = $1 }
		/^  -/ { name = "" }
		/^exit status/ { exit }
		name == "" || name == command' | grep -o -e '--[a-z][a-z-]*' | sort -u
end

function __droverctl_slots
	__droverctl_ask status | sed -n 's/^ *\([0-9][0-9]*\)  *[a-z].*/\1/p' | sort -nu
end

function __droverctl_before
	set -l words (__droverctl_words)
	contains -- "$words[-1]" $argv
end

function __droverctl_value
	__droverctl_before --state --sort --accept --slot --socket -s --binary --output --prefix --instance -i \
		--peer --older --limit --interval --confirm --wait --only --seconds --port
end

function __droverctl_is
	not __droverctl_value; and contains -- (__droverctl_command; or echo -) $argv
end

complete -c droverctl -f
complete -c droverctl -n 'not __droverctl_value; and not __droverctl_command >/dev/null' -a '(__droverctl_commands)'
complete -c droverctl -n 'not __droverctl_value; and string match -q -- "-*" (commandline -ct)' -a '(__droverctl_options)'
complete -c droverctl -n '__droverctl_is workers' -a 'auto'
complete -c droverctl -n '__droverctl_is get set unset settings' -a '(__droverctl_ask settings --names)'
complete -c droverctl -n '__droverctl_is drain resume' -a 'all (__droverctl_slots)'
complete -c droverctl -n '__droverctl_is check import' -F
complete -c droverctl -n '__droverctl_before --state' -a 'idle head waiting sending leaving moving'
complete -c droverctl -n '__droverctl_before --sort' -a 'age bytes'
complete -c droverctl -n '__droverctl_before --only' \
	-a 'nothing reload replace workers accept listen reopen upgrade hang kill'
complete -c droverctl -n '__droverctl_before --accept' -a 'directed reuseport cpu shared'
complete -c droverctl -n '__droverctl_before --slot' -a '(__droverctl_slots)'
complete -c droverctl -n '__droverctl_before --socket -s --binary --output --prefix' -F
