# Step 1: the files that binaries are made of, and no others: what is not listed here cannot change the image.
# The tests' manifests are among them because cargo reads every member's; their sources are not.
{ tree }:
let
  root = toString tree;
  folders = [ "appliance" "policy" "tests/hostile" "tests/variants" ];
  files = [ "Cargo.toml" "Cargo.lock" "rust-toolchain.toml" ".cargo/config.toml" "tests/Cargo.toml" "tests/corpus/appointment.wav" ];
  starts = whole: part: builtins.substring 0 (builtins.stringLength part) whole == part;
  wanted = path:
    builtins.any (folder: path == folder || starts path (folder + "/")) folders || builtins.elem path files
    # A folder on the way to one of them.
    || builtins.any (entry: starts entry (path + "/")) (folders ++ files);
in builtins.path {
  path = tree;
  name = "ward-source";
  filter = path: _: wanted (builtins.substring (builtins.stringLength root + 1) (builtins.stringLength path) path);
}
