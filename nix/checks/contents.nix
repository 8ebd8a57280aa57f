# The archive has the files of `initramfs.nix` and no others, and nothing is behind it. One that has a shell too is refused, and so are
# two archives in a row, which the kernel unpacks both, and one that is cut.
{ names, binaries, initramfs }:
names.run "ward-check-contents" { nativeBuildInputs = names.kernel.tools; } ''
  wanted="bin bin/ward-broker bin/ward-media bin/ward-twiml dev dev/console init proc run sys "
  fits() {
    zstd -dcq "$1" > archive || return 1
    cpio -t --quiet < archive > listed || return 1
    found=$(LC_ALL=C sort listed | tr '\n' ' ')
    [ "$found" = "$wanted" ] || { echo "found: $found"; return 1; }
    # `cpio` stops at the last entry, whose name this is; the kernel does not.
    end=$(LC_ALL=C grep -abo 'TRAILER!!!' archive | head -n 1 | cut -d: -f1)
    [ "$(tail -c +$((end + 11)) archive | tr -d '\0' | wc -c)" = 0 ] || { echo "something is behind the archive"; return 1; }
  }
  fits ${initramfs}/initramfs || exit 1

  printf '/bin 0555 dir\n/init 0555 %s\n/bin/sh 0555 %s\n' "$BASH" "$BASH" > list
  ${binaries.image}/bin/ward-image cpio --zstd list with-a-shell
  cat ${initramfs}/initramfs with-a-shell > two
  head -c 100000 ${initramfs}/initramfs > cut
  for damaged in with-a-shell two cut; do
    ! fits $damaged || { echo "the check finds nothing: $damaged"; exit 1; }
  done
  touch $out
''
