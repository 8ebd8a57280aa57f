# Step 5: one file that firmware starts: stub, kernel, initramfs. The command line in it is the kernel's own, which ignores any other.
{ names, binaries, kernel, initramfs }:
names.run "ward-uki" { inherit (names) stub; } ''
  mkdir $out
  sed -n 's/^CONFIG_CMDLINE="\(.*\)"$/\1/p' ${kernel}/config > cmdline
  printf 'ID=ward\nNAME=Ward\nPRETTY_NAME="Ward"\n' > os-release
  ${binaries.image}/bin/ward-image uki --stub $stub --linux ${kernel}/bzImage --initrd ${initramfs}/initramfs \
    --cmdline cmdline --os-release os-release --uname "$(cat ${kernel}/release)" $out/ward.efi
''
