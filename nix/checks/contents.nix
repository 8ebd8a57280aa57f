# The archive has the files of `initramfs.nix` and no others. One that has a shell too is refused.
{ names, binaries, initramfs }:
names.run "ward-check-contents" { nativeBuildInputs = names.kernel.tools; } ''
  listed() { zstd -dcq "$1" 2>/dev/null | cpio -t --quiet 2>/dev/null | grep -v '^\.$' | LC_ALL=C sort | tr '\n' ' '; }
  wanted="bin bin/ward-broker bin/ward-media bin/ward-twiml dev dev/console init proc run sys "
  found=$(listed ${initramfs}/initramfs)
  [ "$found" = "$wanted" ] || { echo "found: $found"; exit 1; }
  printf '/bin 0555 dir\n/init 0555 %s\n/bin/sh 0555 %s\n' "$BASH" "$BASH" > list
  ${binaries.image}/bin/ward-image cpio --zstd list with-a-shell
  [ "$(listed with-a-shell)" != "$wanted" ] || { echo "the check finds nothing"; exit 1; }
  touch $out
''
