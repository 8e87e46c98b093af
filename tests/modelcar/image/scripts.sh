echo hi
---
echo 'a  b' "c  $HOME" d\ e
---
x=1; y="$x 2"; echo $y "$y"; echo ${z:-def} ${x:-no} ${x:+yes} ${z-un} "${z:-a b}"
---
x='a  b'; echo $x; echo "$x"
---
false || echo no; true && echo yes; false && echo bad; echo $?
---
echo 'it'\''s' "a\"b\$c\\d"
---
(exit 3); echo $?
---
(exit 3) || (echo NOK && exit 1)
---
! true; echo $?; ! false; echo $?
---
if false; then echo a; elif true; then echo b; else echo c; fi
---
i=; until [ "$i" = xxx ]; do i="x$i"; done; echo $i
---
for a in 1 "2 3" 4; do echo "<$a>"; done
---
for a in; do echo no; done; echo $?
---
mkdir -p a/b/c && [ -d a/b/c ] && echo made; mkdir a; echo $?
---
mkdir -p a && ln -sf /proc/$$/root/models a/l && [ -h a/l ] && echo link && ls a
---
ln -s x l; ln -s y l || echo exists; ln -sf z l; ls -A
---
[ -d /nonexistent ] || echo not; [ "$(ls -A /)" ] && echo full
---
mkdir e; [ "$(ls -A e)" ] || echo empty
---
echo a > f; echo b >> f; cat f; cat < f; cat nothing 2>/dev/null || echo $?
---
{ echo a; echo b; } > f; cat f
---
echo $(echo a; echo b) "$(echo a; echo b)" $(exit 4); echo $?
---
x=$(exit 4); echo $?
---
set -e; false; echo not
---
set -e; false || true; echo still; if false; then :; fi; (false); echo no
---
set -eu; echo $nope; echo no
---
echo a#b # comment
---
echo one \
 two
---
test 1 -lt 2 && test a = a && test ! b = a && [ a != b ] && [ -n x ] && [ -z "" ] && echo ok
---
[ 1 -eq 1 -a 2 -gt 1 ] && [ 1 = 2 -o a = a ] && [ \( a = b \) -o c = c ] && echo ok
---
[ ]; echo $?; [ "" ]; echo $?; [ x ]; echo $?; [ ! ]; echo $?; [ = ]; echo $?; [ -n ]; echo $?; [ ! "" ]; echo $?
---
[ a -eq 1 ] 2>/dev/null; echo $?
---
[ 1 -eq 1 2>/dev/null; echo $?
---
nothing 2>/dev/null; echo $?
---
echo -n a; echo b
---
while true; do exit 5; done
---
trap 'echo bye' EXIT; echo hi
---
x=a; (x=b; echo $x); echo $x
---
{ x=b; }; echo $x
---
sleep 0.01 && echo slept; sleep 0.001s 0 && echo ok
---
sleep 0.05 & wait; echo $?
---
(exit 7) & wait $!; echo $?
---
echo "a
b"
---
if true
then
 echo x
fi && echo y
---
while false; do :; done; echo $?
---
echo "$0" $# "$1" "$2"
---
touch t; [ -f t ] && [ ! -s t ] && [ -e t ] && [ -r t ] && echo ok; rm t; [ -e t ] || echo gone; rm t 2>/dev/null; echo $?; rm -f t; echo $?
---
> f; [ -f f ] && echo f
---
x=; echo "[$x]" ${x:-e} ${x-n} ${x+set}
---
a=1 b=2; echo $a$b"$a"'$b'
---
echo 'Pre-fetching modelcar r/x-sleep:1: ' && [ -d /tmp ] && [ "$(ls -A /tmp)" ] && echo 'OK' || (echo 'NOK' && exit 1)
---
if true; then
---
echo )
---
echo "unterminated
---
true &&
---
true && 
---
echo a;; echo b
---
( )
---
{ }
---
sh -c 'echo in; exit 3'; echo $?
---
x=1; sh -c 'exit 4' || echo "$?"