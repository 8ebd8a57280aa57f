# Step 3: the kernel, from its sources and `kernel/fragment`. It does not depend on our programs.
# Its configuration must be the committed one of its series; a series that has none yet is built, and says so.
{ names }:
let
  series = names.kernel.series;
  lock = ./kernel/resolved + "/${series}.config";
in names.run "ward-kernel-${series}" {
  nativeBuildInputs = names.kernel.tools;
  folder = builtins.path {
    path = ./kernel;
    name = "ward-kernel-recipe";
    filter = path: _: builtins.elem (baseNameOf path) [ "build" "resolve" "fragment" ];
  };
  lock = if builtins.pathExists lock then builtins.path { path = lock; name = "ward-kernel-config"; } else "";
  inherit (names.kernel) source;
} ''
  mkdir work $out
  cd work
  bash "$folder/build" "$source" "$folder/fragment" "''${NIX_BUILD_CORES:-2}" $lock
  [ -n "$lock" ] || echo "no committed configuration for ${series}: compare and commit $out/config"
  cp bzImage config release $out/
''
