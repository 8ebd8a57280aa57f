# An image on a desk: its disk as a copy that may be written, OVMF, the serial console on the terminal, port 443 on loopback 8443.
{ names, image-raw }:
names.run "ward-run-qemu" { } ''
  mkdir -p $out/bin
  cat > $out/bin/run-qemu <<END
  #!/bin/sh
  # run-qemu [OPTION...]: starts the image; options are QEMU's, for instance what `ward lab` prints.
  set -eu
  folder=\$(mktemp -d)
  trap 'rm -r "\$folder"' EXIT
  cp ${image-raw}/ward.raw "\$folder/ward.raw"
  cp ${names.qemu.variables} "\$folder/variables"
  chmod u+w "\$folder"/*
  ${names.qemu.program} -machine q35 -cpu max -m 512 -nographic -no-reboot \\
    -drive if=pflash,format=raw,readonly=on,file=${names.qemu.code} -drive if=pflash,format=raw,file="\$folder/variables" \\
    -drive if=virtio,format=raw,file="\$folder/ward.raw" \\
    -netdev user,id=net,hostfwd=tcp:127.0.0.1:8443-:443 -device virtio-net-pci,netdev=net \\
    -device virtio-rng-pci -device i6300esb \\
    "\$@"
  END
  chmod +x $out/bin/run-qemu
''
