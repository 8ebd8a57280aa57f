# Wiring only: what can be built, checked and run. The steps are in `nix/`, one file each, in the order of `nix/README.md`.
# On a machine without nixpkgs the same outputs come from Debian's packages: `nix/host/build`.
{
  description = "Ward: a protected zone for telephone calls in health care, as one image";

  # The one input. Its rustc is the one of `rust-toolchain.toml`.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/21a67dc470149f337cecafbe965d8d252a390518";

  outputs = { self, nixpkgs }:
    let
      ward = import ./nix { tree = self; pkgs = nixpkgs.legacyPackages.x86_64-linux; };
    in {
      packages.x86_64-linux = ward.packages;
      legacyPackages.x86_64-linux = ward.parts;
      checks.x86_64-linux = ward.checks;
      apps.x86_64-linux.run-qemu = { type = "app"; program = "${ward.run-qemu}/bin/run-qemu"; };
      devShells.x86_64-linux.default = ward.shell;
    };
}
