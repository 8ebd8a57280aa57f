# Step 7: the same disk in the forms that clouds and hypervisors take.
{ names, binaries, image-raw }: {
  image-qcow2 = names.run "ward-image-qcow2" { } ''
    mkdir $out
    ${binaries.image}/bin/ward-image qcow2 ${image-raw}/ward.raw $out/ward.qcow2
  '';
}
