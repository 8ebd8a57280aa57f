# `ward verify-image` finds nothing in the disk. In one with a byte between the partition table and the partition, and in one that ends
# too early, it finds something.
{ names, binaries, image-raw }:
names.run "ward-check-image" { } ''
  status() { found=0; ${binaries.ward}/bin/ward verify-image "$1" > report || found=$?; }
  status ${image-raw}/ward.raw
  cat report
  [ $found = 0 ] || { echo "status $found"; exit 1; }
  cp ${image-raw}/ward.raw hidden
  chmod u+w hidden
  printf x | dd of=hidden bs=1 seek=500000 conv=notrunc status=none
  head -c 1000000 ${image-raw}/ward.raw > short
  for damaged in hidden short; do
    status $damaged
    [ $found != 0 ] || { echo "the check finds nothing: $damaged"; exit 1; }
  done
  touch $out
''
