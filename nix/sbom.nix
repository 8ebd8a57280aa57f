# Step 8: what is in the image and under which licence, and where it comes from: CycloneDX and an in-toto statement with SLSA's predicate.
# The crates are those that the binaries themselves name, compared with what cargo says; the rest is `names.materials`.
{ names, sources, binaries, image-raw }:
let
  toml = builtins.concatStringsSep "\n" (map (material: ''
    [[material]]
    name = "${material.name}"
    version = "${material.version}"
    licence = "${material.licence}"
    linked = ${if material.linked then "true" else "false"}
    ${if material ? sha256 then ''sha256 = "${material.sha256}"'' else ""}
  '') names.materials);
in names.run "ward-sbom" { inherit toml; } ''
  mkdir $out
  printf '%s\n' "$toml" > materials.toml
  of="--tree ${binaries.shipped}/share/tree --lock ${sources}/Cargo.lock --materials materials.toml"
  tool=${binaries.image}/bin/ward-image
  $tool sbom $of --image ${image-raw}/ward.raw --release 0.1.0 $out/ward.cdx.json
  $tool licences $of $out/LICENCES
  source=$(cd ${sources} && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1)
  $tool provenance $of --subject ${image-raw}/ward.raw --attribute image-raw --way ${names.path} --source-sha256 "$source" \
    $out/ward.provenance.json
''
