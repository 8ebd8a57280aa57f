# Everything that comes from outside, by our own names, with the nixpkgs file that each was read from. Nothing else under `nix/` may
# name a package. `nix/host/names.nix` offers the same set from Debian's packages; which of the two built a file, the file's own
# provenance says (`path`). Read from nixpkgs' files, revision of `flake.lock`; not evaluated against the real nixpkgs yet.
pkgs:
pkgs.ward or (
let
  lib = pkgs.lib;
  static = pkgs.pkgsStatic; # pkgs/top-level/stage.nix
in rec {
  path = "nixpkgs";
  # What the image is made of that is no crate of ours. nixpkgs' tools are named by the derivations themselves; `version` is in every
  # package. licences: those of `nix/host/names.nix`.
  materials = [
    { name = "linux"; version = pkgs.linux_6_18.version; linked = true; licence = "GPL-2.0-only WITH Linux-syscall-note"; }
    { name = "systemd-stub"; version = pkgs.systemd.version; linked = true; licence = "LGPL-2.1-or-later"; }
    { name = "rust"; version = pkgs.rustc.version; linked = true; licence = "MIT OR Apache-2.0"; }
    { name = "musl"; version = pkgs.musl.version; linked = true; licence = "MIT"; } # pkgs/by-name/mu/musl
    { name = "nixpkgs"; version = lib.version; linked = false; licence = "MIT"; } # lib/trivial.nix
  ];

  # A file or folder made by a script with a C compiler at hand: pkgs/build-support/trivial-builders/default.nix
  run = name: environment: script: pkgs.runCommandCC name environment script;

  # Static binaries of some packages of the workspace: pkgs/build-support/rust/build-rust-package/default.nix
  rust = { name, source, packages, profile, prepare, finish }: static.rustPlatform.buildRustPackage {
    pname = name;
    version = "0.1.0";
    src = source;
    cargoLock.lockFile = source + "/Cargo.lock"; # pkgs/build-support/rust/import-cargo-lock.nix
    cargoBuildFlags = lib.concatMap (package: [ "-p" package ]) packages;
    postPatch = prepare;
    postInstall = finish;
    doCheck = false; # tests run on the sources, not in a build
    auditable = true; # the list of crates goes into the binary; the bill of materials is read from there
    stripAllList = [ "bin" ]; # pkgs/stdenv/generic/setup.sh
    env = profile // {
      CC_x86_64_unknown_linux_musl = "${static.stdenv.cc.targetPrefix}cc"; # before `.cargo/config.toml`'s own
    };
  };

  kernel = rec {
    series = "6.18";
    # With interpreters where nixpkgs has them, as its own kernels: pkgs/top-level/linux-kernels.nix, pkgs/os-specific/linux/kernel/build.nix
    source = run "linux-${series}.tar" { } ''
      mkdir linux
      tar -xf ${pkgs.linux_6_18.src} -C linux --strip-components=1
      patchShebangs linux/scripts linux/tools
      sed -i 's|/bin/pwd|pwd|' linux/Makefile
      tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf $out linux
    '';
    tools = [ pkgs.flex pkgs.bison pkgs.bc pkgs.perl pkgs.zstd pkgs.cpio pkgs.elfutils pkgs.openssl pkgs.gmp pkgs.mpfr pkgs.libmpc ];
  };

  # systemd-stub: pkgs/os-specific/linux/systemd/default.nix
  stub = "${pkgs.systemd}/lib/systemd/boot/efi/linuxx64.efi.stub";

  # What starts an image on a desk: pkgs/by-name/qe/qemu, pkgs/applications/virtualization/OVMF
  qemu = {
    program = "${pkgs.qemu}/bin/qemu-system-x86_64";
    code = "${pkgs.OVMF.fd}/FV/OVMF_CODE.fd";
    variables = "${pkgs.OVMF.fd}/FV/OVMF_VARS.fd";
  };

  # A shell with what the tests want: pkgs/build-support/mkshell/default.nix
  shell = pkgs.mkShell { packages = [ pkgs.cargo pkgs.rustc pkgs.clippy pkgs.rustfmt pkgs.qemu pkgs.iproute2 ]; };
})
