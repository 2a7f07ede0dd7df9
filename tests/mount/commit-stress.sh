# shellcheck shell=sh
# commit-stress.sh BOX COUNT PREFIX: the part for shells; run by each of them in turn.
# The ways to write take turns, so every shell goes through all of them.
box=$1 count=$2 file=$3
cat >"$file.gen" <<'END'
#!/bin/sh
/bin/echo "echo one"
/bin/echo "echo $1"
END
chmod +x "$file.gen"

n=0
while [ "$n" -lt "$count" ]; do
	n=$((n + 1))
	want="answer $n"
	case $((n % 10)) in
	0) echo "echo answer $n" >"$box/cmd" ;;
	1) printf '%s\n' "printf 'answer '" "echo $n" >"$box/cmd" ;;
	2) cat >"$box/cmd" <<END
echo answer $n
END
		;;
	3) {
		echo "printf 'answer '"
		/bin/echo "echo $n"
	} >"$box/cmd" ;;
	4) echo "echo answer $n" | tee "$box/cmd" >/dev/null ;;
	5)
		echo "echo answer $n" >"$file"
		cp "$file" "$box/cmd"
		;;
	6)
		echo "echo answer $n" >"$file"
		cat "$file" >"$box/cmd"
		;;
	7)
		"$file.gen" "$n" >"$box/cmd"
		want="one
$n"
		;;
	8) (echo "echo answer $n") >"$box/cmd" ;;
	9) echo "echo answer $n" >>"$box/cmd" ;;
	esac
	got=$(cat "$box/stdout")
	if [ "$got" = "$want" ]; then
		echo right
	else
		echo "$0 $n (way $((n % 10))): wanted '$want', got '$got'"
	fi
done
