# Step 1: the files that binaries are made of, and no others: what is not listed here cannot change the image.
# Cargo reads every member's manifest, so those of tests and tools are among them; their sources are not.
{ tree }:
let
  root = toString tree;
  starts = whole: part: builtins.substring 0 (builtins.stringLength part) whole == part;
  tools = [ "appliance/image" "appliance/ward" "tests/hostile" "tests/variants" ];
  manifests = map (folder: folder + "/Cargo.toml") (tools ++ [ "tests" ]);
  common = [ "Cargo.toml" "Cargo.lock" "rust-toolchain.toml" ".cargo/config.toml" ] ++ manifests;
  chosen = name: folders: files: without: builtins.path {
    path = tree;
    inherit name;
    filter = absolute: _:
      let
        path = builtins.substring (builtins.stringLength root + 1) (builtins.stringLength absolute) absolute;
        below = folder: path == folder || starts path (folder + "/");
        # A folder on the way to one of them.
        leads = builtins.any (entry: starts entry (path + "/")) (folders ++ files);
      in builtins.elem path files || leads || (builtins.any below folders && !builtins.any below without);
  };
in {
  shipped = chosen "ward-source" [ "appliance" "policy" ] common tools;
  all = chosen "ward-source-of-tools" [ "appliance" "policy" ] (common ++ [ "tests/corpus/appointment.wav" ]) [ ];
}
