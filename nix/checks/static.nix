# Every program of the image is static: it names no interpreter and no library. `/bin/bash`, which does, is refused.
{ names, binaries }:
names.run "ward-check-static" { } ''
  dynamic() { LC_ALL=C readelf -lW "$1" | grep -q 'INTERP' || LC_ALL=C readelf -dW "$1" 2>/dev/null | grep -q NEEDED; }
  writable_and_executable() { LC_ALL=C readelf -lW "$1" | grep -Eq '(LOAD|GNU_STACK).* RWE'; }
  for program in ${binaries.shipped}/bin/*; do
    ! dynamic "$program" || { echo "$program is not static"; exit 1; }
    ! writable_and_executable "$program" || { echo "$program has writable code"; exit 1; }
  done
  [ "$(ls ${binaries.shipped}/bin | wc -l)" -le 4 ] || { echo "more than four programs"; exit 1; }
  dynamic "$BASH" || { echo "the check finds nothing"; exit 1; }
  touch $out
''
