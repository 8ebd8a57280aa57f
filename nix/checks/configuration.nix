# What the fragment asks for is what the kernel was built with. A fragment that asks for more is refused.
{ names, kernel }:
names.run "ward-check-configuration" { folder = ../kernel; } ''
  sh $folder/resolve check $folder/fragment ${kernel}/config
  cp $folder/fragment more
  chmod u+w more
  echo 'CONFIG_KVM=y  # not so' >> more
  ! sh $folder/resolve check more ${kernel}/config || { echo "the check finds nothing"; exit 1; }
  touch $out
''
