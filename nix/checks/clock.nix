# The negative control of a rebuild: an archive with the time of its making in it. Made twice it is not the same, and whatever calls
# it so compares nothing. It is part of no image.
{ names, binaries }:
names.run "ward-control-clock" { } ''
  mkdir $out
  date +%s.%N > stamp
  printf '/stamp 0444 stamp\n' > list
  ${binaries.image}/bin/ward-image cpio list $out/with-a-time
''
