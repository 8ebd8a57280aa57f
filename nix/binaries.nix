# Step 2: static programs. What goes into the image is built apart from the tools, so that a tool's change leaves the image alone.
{ names, sources }:
let
  # Cargo reads every member's manifest; of those whose sources are not here it gets an empty one.
  prepare = ''
    for manifest in */Cargo.toml */*/Cargo.toml; do
      folder=$(dirname "$manifest")
      [ -d "$folder/src" ] || [ "$folder" = tests ] || { mkdir "$folder/src"; touch "$folder/src/lib.rs"; }
    done
  '';
  programs = [ "ward-init" "ward-broker" "ward-media" "ward-twiml" ];
  of = name: packages: profile: finish: names.rust {
    source = sources.shipped;
    inherit name packages profile prepare finish;
  };
  # Fast where audio flows; small elsewhere, and without the tables for unwinding: only media unwinds.
  fast = of "ward-fast" [ "ward-media" ] { } ''
    mkdir -p $out/share
    # What is linked, as cargo sees it: for the bill of materials.
    cargo tree --frozen --target x86_64-unknown-linux-musl --edges normal,no-proc-macro --prefix depth --format ' {p}|{l}' \
      ${builtins.concatStringsSep " " (map (program: "-p ${program}") programs)} > $out/share/tree
  '';
  small = of "ward-small" [ "ward-init" "ward-broker" "ward-twiml" ] {
    CARGO_PROFILE_RELEASE_OPT_LEVEL = "s";
    CARGO_PROFILE_RELEASE_PANIC = "abort";
  } "";
  shipped = names.run "ward-shipped" { } ''
    mkdir -p $out/bin $out/share
    cp ${fast}/bin/* ${small}/bin/* $out/bin/
    cp ${fast}/share/tree $out/share/
  '';
  tool = name: names.rust { inherit name prepare; source = sources.all; packages = [ name ]; profile = { }; finish = ""; };
  # One program as a package of its own.
  one = program: names.run program { } "install -D ${shipped}/bin/${program} $out/bin/${program}";
in {
  inherit fast small shipped;
  init = one "ward-init";
  broker = one "ward-broker";
  media = one "ward-media";
  twiml = one "ward-twiml";
  # The operator's tool, and the one that puts images together. Neither is in an image.
  ward = tool "ward";
  image = tool "ward-image";
}
