# nixpkgs' place, taken by Debian's packages: `nix/host/build` copies this folder beside a list of the toolchain's files and names it
# as the input `nixpkgs`.
{
  outputs = { self }: {
    legacyPackages.x86_64-linux.ward = import ./names.nix;
  };
}
