# Step 4: the whole system as an archive: the programs, one device node, the mount points.
{ names, binaries }:
names.run "ward-initramfs" { } ''
  mkdir $out
  cat > list <<END
  /dev 0755 dir
  /dev/console 0600 char:5:1
  /proc 0555 dir
  /sys 0555 dir
  /run 0755 dir
  /bin 0555 dir
  /init 0555 ${binaries.init}/bin/ward-init
  /bin/ward-media 0555 ${binaries.media}/bin/ward-media
  /bin/ward-broker 0555 ${binaries.broker}/bin/ward-broker
  /bin/ward-twiml 0555 ${binaries.twiml}/bin/ward-twiml
  END
  ${binaries.image}/bin/ward-image cpio --zstd list $out/initramfs
''
