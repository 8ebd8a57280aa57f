# One property a file; each is a derivation that is made when the property holds, and shows a damaged copy that it does not.
{ names, binaries, kernel, initramfs, image-raw }: {
  static = import ./static.nix { inherit names binaries; };
  contents = import ./contents.nix { inherit names binaries initramfs; };
  configuration = import ./configuration.nix { inherit names kernel; };
  image = import ./image.nix { inherit names binaries image-raw; };
}
