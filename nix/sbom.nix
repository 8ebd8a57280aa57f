# Step 8: what is in the image and under which licence, and where it comes from: CycloneDX and an in-toto statement with SLSA's predicate.
# The crates are those that the binaries themselves name, compared with what cargo says; the rest is `names.materials`. The source is the
# whole tree, with the steps, the kernel's fragment and the tool; a commit is named when all of the tree is committed.
{ tree, names, binaries, kernel, initramfs, uki, image-raw, image-qcow2 }:
let
  optional = key: material: if material ? ${key} then ''${key} = "${material.${key}}"'' else "";
  toml = builtins.concatStringsSep "\n" (map (material: ''
    [[material]]
    name = "${material.name}"
    version = "${material.version}"
    licence = "${material.licence}"
    linked = ${if material.linked then "true" else "false"}
    purl = "${material.purl or "pkg:generic/${material.name}@${material.version}"}"
    ${optional "files" material}
  '') names.materials);
  source = builtins.path { path = tree; name = "ward-tree"; };
  commit = if tree ? rev then "--source-commit ${tree.rev}" else "";
in names.run "ward-sbom" { inherit toml; } ''
  mkdir $out
  printf '%s\n' "$toml" > materials.toml
  of="--tree ${binaries.shipped}/share/tree --lock ${source}/Cargo.lock --materials materials.toml"
  tool=${binaries.image}/bin/ward-image
  $tool sbom $of --image ${image-raw}/ward.raw --release 0.1.0 $out/ward.cdx.json
  $tool licences $of $out/LICENCES
  # in-toto's dirHash1.
  files=$(cd ${source} && find . -type f | cut -c3- | LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
  subjects=
  for file in ${image-raw}/ward.raw ${image-qcow2}/ward.qcow2 ${uki}/ward.efi ${kernel}/bzImage ${initramfs}/initramfs \
    ${binaries.shipped}/bin/*; do
    subjects="$subjects --subject $file"
  done
  $tool provenance $of $subjects --attribute image-raw --attribute image-qcow2 --attribute uki --attribute kernel \
    --attribute initramfs --way ${names.path} --source-files "$files" ${commit} $out/ward.provenance.json
''
