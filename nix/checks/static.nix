# Every program of the image is static: it names no interpreter and no library; and it asks for a stack that holds no code, and for no
# memory that can be written and executed. Refused: `/bin/bash`, which is linked, and one of our own with either right let in.
{ names, binaries }:
names.run "ward-check-static" { } ''
  headers() { LC_ALL=C readelf -lW "$1" > headers && grep -q 'Program Headers' headers; }
  dynamic() { headers "$1" && grep -q INTERP headers || LC_ALL=C readelf -dW "$1" 2>/dev/null | grep -q NEEDED; }
  # Where nothing is said of the stack, the kernel lets it hold code.
  without_code_in_data() { headers "$1" && grep -q 'GNU_STACK .* RW ' headers && ! grep -Eq '(LOAD|GNU_STACK) .* RWE ' headers; }
  for program in ${binaries.shipped}/bin/*; do
    ! dynamic "$program" || { echo "$program is not static"; exit 1; }
    without_code_in_data "$program" || { echo "$program has writable code"; exit 1; }
  done
  [ "$(ls ${binaries.shipped}/bin | wc -l)" -le 4 ] || { echo "more than four programs"; exit 1; }

  dynamic "$BASH" || { echo "the check finds nothing"; exit 1; }
  # A program of our own with one header changed: row ROW's type or rights, little-endian words of a table of 56 bytes a row from byte 64 on.
  header() { # FILE ROW BYTE VALUE
    cp "$(echo ${binaries.shipped}/bin/* | cut -d' ' -f1)" "$1"
    chmod u+w "$1"
    printf "$4" | dd of="$1" bs=1 seek=$((64 + 56 * $2 + $3)) conv=notrunc status=none
  }
  row() { # the first row of this type, from nought
    headers "$(echo ${binaries.shipped}/bin/* | cut -d' ' -f1)"
    grep -E '^  [A-Z_0-9]+ +0x' headers | awk -v type="$1" '$1 == type { print NR - 1; exit }'
  }
  header writable "$(row LOAD)" 4 '\007'
  header stack "$(row GNU_STACK)" 4 '\007'
  header silent "$(row GNU_STACK)" 0 '\000\000\000\000'
  for damaged in writable stack silent; do
    headers $damaged
    ! without_code_in_data $damaged || { echo "the check finds nothing: $damaged"; exit 1; }
  done
  touch $out
''
