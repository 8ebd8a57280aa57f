# The set of `nix/names.nix`, from Debian's packages as the sandbox shows them. Nix does not see what is behind a sandbox path, so
# every derivation carries the list of the toolchain's packages with a digest of the files of each: another compiler is another build.
let
  system = "x86_64-linux";
  list = file:
    if builtins.pathExists file then builtins.readFile file
    else throw "nix/host is used through nix/host/build, which lists the toolchain";
  # Debian's packages with all that they depend on; Rust goes only into what it compiles.
  debian = list ./debian;
  rust = list ./rust;

  run = name: environment: script: derivation (environment // {
    inherit name system;
    toolchain = debian + (environment.toolchain or "");
    builder = "/bin/bash";
    args = [ "-euo" "pipefail" "-c" script ];
    PATH = "/rust/bin:/auditable/bin:/usr/bin:/bin";
    LC_ALL = "C";
    TZ = "UTC";
    SOURCE_DATE_EPOCH = "0";
  });

  # The lists' own lines: name, version, digest.
  packages = text: builtins.filter (line: line != null)
    (map (builtins.match "([^ ]+) ([^ ]+) ([0-9a-f]{64})") (builtins.filter builtins.isString (builtins.split "\n" text)));
  # Of what is a piece in the image; the others are tools.
  shipped = {
    "linux-source-6.12" = "GPL-2.0-only WITH Linux-syscall-note";
    systemd-boot-efi = "LGPL-2.1-or-later";
    rust = "MIT OR Apache-2.0"; # its standard library
    musl-of-rust = "MIT"; # the C library that comes with it, which is what is linked; Debian's compiles and is not
  };
  escaped = builtins.replaceStrings [ ":" "+" ] [ "%3A" "%2B" ];
  material = kind: package:
    let
      name = builtins.elemAt package 0;
      version = builtins.elemAt package 1;
      bare = if name == "musl-of-rust" then "musl" else name;
    in {
      name = bare;
      inherit version;
      purl = "pkg:${kind}/${escaped bare}@${escaped version}";
      files = builtins.elemAt package 2;
      linked = shipped ? ${name};
      licence = shipped.${name} or "NOASSERTION";
    };

  # Every crate of the lock file, by the checksum that the lock file has of it.
  crate = package: derivation {
    name = "${package.name}-${package.version}.crate";
    inherit system;
    builder = "builtin:fetchurl";
    url = "file:///crates/${package.name}-${package.version}.crate";
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = package.checksum;
    preferLocalBuild = true;
  };
  vendored = source:
    let
      lock = builtins.fromTOML (builtins.readFile (source + "/Cargo.lock"));
      crates = builtins.filter (package: package ? checksum) lock.package;
    in run "ward-crates" {
      crates = map (package: "${package.name}-${package.version}:${package.checksum}:${crate package}") crates;
    } ''
      mkdir $out
      for entry in $crates; do
        IFS=: read -r folder checksum file <<< "$entry"
        tar -xzf "$file" -C $out
        printf '{"files":{},"package":"%s"}' "$checksum" > "$out/$folder/.cargo-checksum.json"
      done
    '';
in {
  path = "host";
  inherit run;
  # Debian's alternatives are names of files of these packages and no package.
  materials = map (material "deb/debian") (builtins.filter (package: builtins.head package != "alternatives") (packages debian))
    ++ map (material "generic") (packages rust);

  rust = { name, source, packages, profile, prepare, finish }: run name (profile // {
    inherit source packages;
    crates = vendored source;
    toolchain = rust;
  }) ''
    cp -r "$source" source
    chmod -R u+w source
    cd source
    ${prepare}
    export HOME=$PWD CARGO_HOME=$PWD/.home CARGO_TARGET_DIR=$PWD/target
    mkdir .home
    printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' "$crates" > .home/config.toml
    # No path of this build in what it makes.
    export RUSTFLAGS="--remap-path-prefix=$PWD=ward --remap-path-prefix=$crates=crates"
    export CC_x86_64_unknown_linux_musl=musl-gcc CFLAGS="-ffile-prefix-map=$crates=crates -ffile-prefix-map=$PWD=ward"
    wanted=
    for package in $packages; do wanted="$wanted -p $package"; done
    cargo auditable build --release --frozen --target x86_64-unknown-linux-musl -j "$NIX_BUILD_CORES" $wanted
    mkdir -p $out/bin
    find target/x86_64-unknown-linux-musl/release -maxdepth 1 -type f -perm -u+x -exec sh -c 'strip -o "$out/bin/$(basename "$1")" "$1"' sh {} \;
    ${finish}
  '';

  kernel = {
    series = "6.12";
    source = "/usr/src/linux-source-6.12.tar.xz";
    tools = [ ];
  };

  stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

  qemu = {
    program = "/usr/bin/qemu-system-x86_64";
    code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    variables = "/usr/share/OVMF/OVMF_VARS_4M.fd";
  };

  shell = run "ward-shell" { } "echo 'on Debian the shell is your own: tests/run installs what is missing' > $out";
}
