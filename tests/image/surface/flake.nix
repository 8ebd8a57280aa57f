# The names of nixpkgs that `nix/names.nix` uses, and no others, each as an empty shell of what it is. With it the way through nixpkgs can be
# evaluated where nixpkgs cannot be fetched: a name that is not here, or an argument that its function does not take, fails. It says nothing
# of whether nixpkgs has them, or of what they build.
{
  outputs = { self }:
    let
      thing = name: { version = "1"; } // derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; };
      named = names: builtins.listToAttrs (map (name: { inherit name; value = thing name; }) names);
    in {
      legacyPackages.x86_64-linux = named [
        "flex" "bison" "bc" "perl" "zstd" "cpio" "elfutils" "openssl" "gmp" "mpfr" "libmpc" "systemd" "qemu" "cargo" "rustc" "clippy"
        "rustfmt" "iproute2"
      ] // {
        lib = {
          version = "surface";
          concatMap = builtins.concatMap;
        };
        runCommandCC = name: environment: script:
          derivation ({ inherit name script; system = "x86_64-linux"; builder = "/bin/sh"; } // environment);
        pkgsStatic = {
          stdenv.cc.targetPrefix = "x86_64-unknown-linux-musl-";
          rustPlatform.buildRustPackage =
            { pname, version, src, cargoLock, cargoBuildFlags, postPatch, postInstall, stripAllList, doCheck, auditable, env }:
            assert builtins.pathExists cargoLock.lockFile;
            derivation ({ name = "${pname}-${version}"; inherit src cargoBuildFlags; system = "x86_64-linux"; builder = "/bin/sh"; } // env);
        };
        linux_6_18 = { version = "6.18"; src = thing "linux-6.18.tar.xz"; };
        OVMF.fd = thing "OVMF-fd";
        mkShell = { packages }: thing "shell";
      };
    };
}
