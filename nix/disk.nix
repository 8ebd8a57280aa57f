# Step 6: the flashable file: a GPT with one EFI system partition. Without a configuration: `ward-image configure` puts one in.
{ names, binaries, uki }:
names.run "ward-image-raw" { } ''
  mkdir $out
  ${binaries.image}/bin/ward-image disk --uki ${uki}/ward.efi $out/ward.raw
''
