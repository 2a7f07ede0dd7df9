/*
 * The helper that works requests about files where no agent can be put: a POSIX
 * shell and the usual programs (GNU's, or busybox's). Its input is requests, a
 * line each: a letter and what belongs to it; bytes to be written follow theirs.
 * output.h says what it prints.
 *
 * Paths are absolute and come in the words of file_words_add(), so nothing in
 * them means anything to the shell. An ID is what the file is known by: another
 * one under the same path is not touched.
 */
#include "backend/aviato/stand_in/shell.h"

#define LINE(text) text "\n"

/* clang-format off */
const char stand_in_script[] =
LINE("export LC_ALL=C")
LINE("F='x%f %h %u %g %s %b %.9X %.9Y %.9Z %d %i %t %T'")
LINE("N='")
LINE("'")
/* The reason of a failure stands behind the last colon of what a program says. */
LINE("no() { e=${1##*: }; case $e in *$N*) e=;; esac; printf 'e\\0%s\\0' \"$e\"; return 1; }")
LINE("try() { s=$(\"$@\" 2>&1 >/dev/null) || no \"$s\"; }")
LINE("there() { [ -e \"$1\" ] || [ -L \"$1\" ]; }")
LINE("dir() { [ -d \"$1\" ] && ! [ -L \"$1\" ]; }")
LINE("free() { ! there \"$1\" || no ': File exists'; }")
LINE("id() { [ \"$2\" = 0 ] || [ \"$(stat -c %d.%i -- \"$1\" 2>/dev/null)\" = \"$2\" ] || no ': Stale file handle'; }")
LINE("text() { if [ -L \"$1\" ]; then t=$(readlink -n -- \"$1\"; echo x); printf '%s\\0' \"${t%x}\"; else printf '\\0'; fi; }")
LINE("at() { s=$(stat -c \"$F\" -- \"$1\" 2>&1) || no \"$s\" || return; printf 'a\\0%s\\0' \"$s\"; text \"$1\"; }")
/* v: the path behind a word */
LINE("d() { case $1 in \\\\) v=;; *\\\\*) v=$(printf '%bx' \"$1\"); v=${v%x};; *) v=$1;; esac; }")

/* Names in a directory, with attributes: by find where it is GNU's, else by stat for a hundred at a time. */
LINE("each() { s=$(stat -c \"$F\" -- \"$@\" 2>/dev/null); n=0; for l in $s; do n=$((n+1)); done")
LINE("if [ $n = $# ]; then for l in $s; do printf '%s\\0%s\\0' \"$l\" \"${1##*/}\"; text \"$1\"; shift; done; return; fi")
LINE("for f; do s=$(stat -c \"$F\" -- \"$f\" 2>/dev/null) || continue; printf '%s\\0%s\\0' \"$s\" \"${f##*/}\"; text \"$f\"; done; }")
LINE("part() { there \"$1\" || return; while [ $# -gt 100 ]; do eval \"each $H\"; shift 100; done; each \"$@\"; }")
LINE("list() { if find \"$1\" -maxdepth 0 -printf '' 2>/dev/null; then")
LINE("find \"$1\" -mindepth 1 -maxdepth 1 -printf '%y%m %n %U %G %s %b %A@ %T@ %C@ %D %i 0 0\\0%P\\0%l\\0' 2>/dev/null; else")
LINE("H=; n=0; while [ $n -lt 100 ]; do n=$((n+1)); H=\"$H \\\"\\${$n}\\\"\"; done")
LINE("(IFS=$N; part \"$1\"/*; part \"$1\"/.[!.]*; part \"$1\"/..?*); fi; printf '\\0'; }")

/* Exactly so many bytes of what follows the request. */
LINE("take() { k=$(($1/65536)) r=$(($1%65536)); { [ $k = 0 ] || dd bs=65536 count=$k iflag=fullblock status=none; } &&")
LINE("{ [ $r = 0 ] || dd bs=$r count=1 iflag=fullblock status=none; }; } <&3")
LINE("rd() { { dd bs=1 skip=\"$2\" count=0 2>/dev/null && head -c \"$3\"; } <\"$1\"; }")
LINE("put() { if [ \"$2\" = + ]; then { take \"$3\" || return 7; } >>\"$1\"")
LINE("else { dd bs=1 seek=\"$2\" count=0 conv=notrunc 2>/dev/null || return 6; take \"$3\" || return 7; } 1<>\"$1\"; fi; }")
/* Who has opened a file may write to it, whatever its mode has become; 7: some of the bytes are still to come. */
LINE("wr() { [ -f \"$1\" ] || no ': No such file or directory' || { take \"$3\" >/dev/null; return 1; }")
LINE("u=; [ -r \"$1\" ] && [ -w \"$1\" ] || { u=$(stat -c %a -- \"$1\" 2>/dev/null) && chmod u+rw \"$1\" 2>/dev/null || u=; }")
LINE("s=$(put \"$@\" 2>&1 >/dev/null); r=$?; [ -z \"$u\" ] || chmod \"$u\" \"$1\"")
LINE("case $r in 0) return;; 7) no \"$s\"; printf 'z\\0'; exit 1;; *) take \"$3\" >/dev/null; no \"$s\";; esac; }")
LINE("size() { if command -v truncate >/dev/null; then truncate -c -s \"$2\" -- \"$1\"; else dd if=/dev/null of=\"$1\" bs=1 seek=\"$2\"; fi; }")
LINE("flush() { e=$(sync -- \"$1\" 2>&1) || case $e in *': Input/output error' | *': No space left on device' | *': Disk quota exceeded' | *': Quota exceeded')")
LINE("printf '%s\\n' \"$e\" >&2; false;; *) sync;; esac; }")
LINE("owner() { chown -h -- \"$2\" \"$1\"; }")
LINE("mode() { if [ -L \"$1\" ]; then echo ': Operation not supported' >&2; false; else chmod -- \"$2\" \"$1\"; fi; }")
/* Fractions of a second are GNU's. */
LINE("touched() { case $3 in now) touch -c -h \"$2\" -- \"$1\";;")
LINE("*) touch -c -h \"$2\" -d \"@$3\" -- \"$1\" 2>/dev/null || touch -c -h \"$2\" -d \"@${3%.*}\" -- \"$1\";; esac; }")
LINE("new() { (umask 077; set -C; : >\"$1\") && chmod -- \"$2\" \"$1\"; }")
/* PATH MODE x|- t|- */
LINE("make() { if [ $3 = - ] && [ -f \"$1\" ] && ! [ -L \"$1\" ]; then [ $4 = - ] || try size \"$1\" 0; else try new \"$1\" \"$2\"; fi; }")
LINE("same() { [ \"$(stat -c %d -- \"$1\" 2>/dev/null)\" = \"$(stat -c %d -- \"$2\" 2>/dev/null)\" ] || no ': Invalid cross-device link'; }")
/* FROM TO: as rename(2), where mv would move something into a directory, as busybox's does also with -T */
LINE("move() { there \"$1\" || no ': No such file or directory' || return")
LINE("if dir \"$1\"; then ! there \"$2\" || dir \"$2\" || no ': Not a directory' || return")
LINE("else ! dir \"$2\" || no ': Is a directory' || return; fi")
LINE("! there \"$2\" || [ \"$(stat -c %d:%i -- \"$1\")\" != \"$(stat -c %d:%i -- \"$2\")\" ] || return 0") /* two names of one file stay */
LINE("if mv --version >/dev/null 2>&1; then try mv -f -T -- \"$1\" \"$2\"; return; fi")
LINE("if dir \"$2\"; then try rmdir -- \"$2\" || return; elif [ -L \"$2\" ] && [ -d \"$2\" ]; then rm -f -- \"$2\"; fi; try mv -f -- \"$1\" \"$2\"; }")
LINE("may() { for w in $2; do [ \"$w\" \"$1\" ] || no ': Permission denied' || return; done; printf 'k\\0'; }")
LINE("programs() ( p=${1:-$PATH}; n=$2; IFS=:; set -f; set -- $p; set +f; IFS=$N; printf 'p\\0'")
LINE("for D; do case $D in /*) ;; *) continue;; esac; if [ \"$n\" ]; then [ -f \"$D/$n\" ] && [ -x \"$D/$n\" ] && printf '%s\\0' \"$n\"")
LINE("else for f in \"$D\"/*; do [ -f \"$f\" ] && [ -x \"$f\" ] && printf '%s\\0' \"${f##*/}\"; done; fi; done; printf '\\0' )")

LINE("exec 3<&0 </dev/null")
LINE("while IFS= read -r q <&3; do set -f; set -- $q; set +f; o=$1; d \"$2\"; P=$v; shift 2; case $o in")
LINE("s) at \"$P\";;")
LINE("S) at \"$P\"; for w; do d \"$w\"; at \"$v\"; done;;")
LINE("l) at \"$P\" && if ! dir \"$P\"; then no ': Not a directory'; elif ! [ -r \"$P\" ] || ! [ -x \"$P\" ]; then no ': Permission denied'")
LINE("else printf 'l\\0'; list \"$P\"; fi;;")
LINE("r) if id \"$P\" \"$1\"; then s=$(stat -c %s -- \"$P\"); if ! [ -r \"$P\" ]; then no ': Permission denied'")
LINE("elif ! command -v base64 >/dev/null; then no ': not found'; else printf 'r\\0%s\\0' \"$s\"; rd \"$P\" \"$2\" \"$3\" | base64; printf '\\0'; fi; fi;;")
LINE("w) if id \"$P\" \"$1\"; then wr \"$P\" \"$2\" \"$3\" && at \"$P\"; else take \"$3\" >/dev/null; fi;;")
LINE("k) id \"$P\" \"$1\" && try flush \"$P\" && printf 'k\\0';;")
/* PATH ID SIZE OWNER MODE ATIME MTIME, each - to leave it */
LINE("t) id \"$P\" \"$1\" && { [ $2 = - ] || try size \"$P\" $2; } && { [ $3 = - ] || try owner \"$P\" $3; } &&")
LINE("{ [ $4 = - ] || try mode \"$P\" $4; } && { [ $5 = - ] || try touched \"$P\" -a $5; } && { [ $6 = - ] || try touched \"$P\" -m $6; } && at \"$P\";;")
LINE("o) id \"$P\" \"$1\" && if dir \"$P\"; then no ': Is a directory'; elif ! [ -f \"$P\" ] || [ -L \"$P\" ]; then no ': No such device or address'")
LINE("else d \"$3\"; for w in $v; do [ \"$w\" \"$P\" ] || no ': Permission denied' || { w=; break; }; done; [ \"$w\" ] && { [ $2 = - ] || try size \"$P\" 0; } && at \"$P\"; fi;;")
LINE("A) if there \"$P\"; then d \"$1\"; may \"$P\" \"$v\"; else no ': No such file or directory'; fi;;")
LINE("f) s=$(stat -f -c '%S %s %b %f %a %c %d %l' -- \"$P\" 2>&1) && printf 'f\\0%s\\0' \"$s\" || no \"$s\";;")
LINE("b) d \"$1\"; programs \"$P\" \"$v\";;")
/* The rest is about a name in a directory: its path stands first, then what it is about. */
LINE("*) D=$P; d \"$1\"; P=$v; shift; case $o in")
LINE("c) make \"$P\" $1 $2 $3 && at \"$P\" && at \"$D\";;")
LINE("m) try mkdir -m $1 -- \"$P\" && at \"$P\" && at \"$D\";;")
LINE("n) free \"$P\" && try new \"$P\" $1 && at \"$P\" && at \"$D\";;")
LINE("p) try mkfifo -m $1 -- \"$P\" && at \"$P\" && at \"$D\";;")
LINE("y) d \"$1\"; free \"$P\" && try ln -s -- \"$v\" \"$P\" && at \"$P\" && at \"$D\";;")
LINE("h) d \"$1\"; free \"$P\" && try ln -- \"$v\" \"$P\" && at \"$P\" && at \"$D\";;")
LINE("u) if dir \"$P\"; then no ': Is a directory'; elif there \"$P\"; then try rm -f -- \"$P\" && at \"$D\"; else no ': No such file or directory'; fi;;")
LINE("x) try rmdir -- \"$P\" && at \"$D\";;")
LINE("v) d \"$1\"; E=$v; d \"$2\"; { [ $3 = 0 ] || free \"$v\"; } && same \"$D\" \"$E\" && move \"$P\" \"$v\" && at \"$D\" && at \"$E\";;")
LINE("esac;; esac; printf 'z\\0'; done");
/* clang-format on */
