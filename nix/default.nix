# The steps of a build, put together. Each is a file beside this one, takes what it needs by name, and makes one thing.
{ tree, pkgs }:
let
  names = import ./names.nix pkgs;
  sources = import ./sources.nix { inherit tree; };
  binaries = import ./binaries.nix { inherit names sources; };
  kernel = import ./kernel.nix { inherit names; };
  initramfs = import ./initramfs.nix { inherit names binaries; };
  uki = import ./uki.nix { inherit names binaries kernel initramfs; };
  image-raw = import ./disk.nix { inherit names binaries uki; };
  formats = import ./formats.nix { inherit names binaries image-raw; };
  sbom = import ./sbom.nix { inherit tree names binaries kernel initramfs uki image-raw; inherit (formats) image-qcow2; };
in {
  packages = {
    default = image-raw;
    inherit (binaries) media twiml broker init ward;
    inherit (formats) image-qcow2;
    inherit kernel initramfs uki image-raw sbom;
  };
  checks = import ./checks { inherit names binaries kernel initramfs image-raw; };
  # What a rebuild looks at beside the packages: what several of them are made of, and its negative controls.
  parts = {
    inherit (binaries) fast small shipped;
    tool = binaries.image;
    clock = import ./checks/clock.nix { inherit names binaries; };
    inherit (import ./checks/arrives.nix { inherit names; }) year jobs;
  };
  run-qemu = import ./qemu.nix { inherit names image-raw; };
  shell = names.shell;
}
