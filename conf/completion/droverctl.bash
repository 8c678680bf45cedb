# bash completion for droverctl(8). Commands and options are those that its --help names; settings and slots
# are asked of the daemon, and without one there are none. Needs nothing but bash.

# The block of a command in the help, or of the common options.
_droverctl_help()
{
	"$1" --help 2>/dev/null | awk -v command="$2" '
		/^  [a-z]/ { name = $1 }
		/^  -/ { name = "" }
		/^exit status/ { exit }
		name == command' 2>/dev/null
}

_droverctl_options()
{
	_droverctl_help "$1" "$2" | grep -o -e '--[a-z][a-z-]*' | sort -u
}

_droverctl_commands()
{
	"$1" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\).*/\1/p'
}

_droverctl_slots()
{
	"$@" status 2>/dev/null | sed -n 's/^ *\([0-9][0-9]*\)  *[a-z].*/\1/p' | sort -nu
}

# What may stand behind an option; 1: nothing that is known, 2: a file.
_droverctl_value()
{
	case $1 in
	--state) echo idle head waiting sending leaving moving ;;
	--sort) echo age bytes ;;
	--only) echo nothing reload replace workers accept listen reopen upgrade hang kill ;;
	--accept) echo directed reuseport cpu shared ;;
	--slot) _droverctl_slots "${asked[@]}" ;;
	--socket | -s | --binary | --output | --prefix) return 2 ;;
	--instance | -i) ls -d /run/drover-*/ 2>/dev/null | sed 's:/run/drover-\(.*\)/:\1:' ;;
	--peer | --older | --limit | --interval | --confirm | --wait | --seconds | --port) ;;
	*) return 1 ;;
	esac
}

# What may stand behind a command.
_droverctl_argument()
{
	case $1 in
	get | set | unset | settings) "${asked[@]}" settings --names 2>/dev/null ;;
	drain | resume) echo all; _droverctl_slots "${asked[@]}" ;;
	workers) echo auto ;;
	check | import) return 2 ;;
	esac
}

_droverctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command="" words="" what=0 i
	local asked=("${COMP_WORDS[0]}")

	# the same daemon is asked as the line means
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket | -i | --instance) asked+=("${COMP_WORDS[i]}" "${COMP_WORDS[++i]}") ;;
		-*) ;;
		*) [ -n "$command" ] || command=${COMP_WORDS[i]} ;;
		esac
	done
	COMPREPLY=()
	words=$(_droverctl_value "$before")
	what=$?
	if [ $what = 1 ]; then
		what=0
		if [[ $cur == -* ]]; then
			words=$(_droverctl_options "${COMP_WORDS[0]}" ""; _droverctl_options "${COMP_WORDS[0]}" "$command")
		elif [ -z "$command" ]; then
			words=$(_droverctl_commands "${COMP_WORDS[0]}")
		else
			words=$(_droverctl_argument "$command")
			what=$?
		fi
	fi
	if [ $what = 2 ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
	else
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	fi
}

complete -F _droverctl droverctl
