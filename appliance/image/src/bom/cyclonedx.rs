//! The bill of materials as CycloneDX 1.6, in JSON: image, programs, crates, and what is no crate.
//!
//! It has no time, and its serial number is a digest of itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Bom, BomError, Crate, FILES_DIGEST, Material, audit, word};
use crate::digest::{guid, sha256};
use crate::inspect::{Inspection, Node};

/// The document, for an image that was looked into.
///
/// # Errors
/// [`BomError::NotCarried`], [`BomError::NotLocked`], [`BomError::NoPackage`] and [`BomError::Word`].
pub fn cyclonedx(bom: &Bom, image: &Inspection, version: &str) -> Result<String, BomError> {
    let version = word(version)?;
    let mut components: BTreeMap<String, Value> = BTreeMap::new();
    let mut dependencies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in bom.crates.values() {
        components.insert(one.reference(), of_crate(one));
    }
    for (key, needs) in &bom.needs {
        let Some(one) = bom.crates.get(key) else { continue };
        let needs = needs.iter().filter_map(|key| bom.crates.get(key)).map(Crate::reference);
        dependencies.entry(one.reference()).or_default().extend(needs);
    }
    let image_ref = format!("ward/image@{version}");
    let mut in_image = BTreeSet::new();
    for program in image.nodes.iter().filter(|node| node.is_executable()) {
        let (reference, value, package) = of_program(bom, program)?;
        components.insert(reference.clone(), value);
        dependencies.entry(reference.clone()).or_default().insert(package);
        in_image.insert(reference);
    }
    for material in &bom.materials {
        components.insert(material.reference(), of_material(material));
        if material.is_linked {
            in_image.insert(material.reference());
        }
    }
    dependencies.insert(image_ref.clone(), in_image);
    let hashes: Vec<Value> = image
        .items
        .iter()
        .filter(|item| item.what == "file")
        .map(|item| hash(&item.sha256))
        .collect();
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [
                { "type": "application", "name": "ward-image", "version": env!("CARGO_PKG_VERSION") },
            ] },
            "component": {
                "type": "operating-system",
                "bom-ref": image_ref,
                "name": "ward",
                "version": version,
                "hashes": hashes,
            },
        },
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies
            .into_iter()
            .map(|(reference, on)| json!({ "ref": reference, "dependsOn": on }))
            .collect::<Vec<_>>(),
    });
    let serial = guid("bill of materials", document.to_string().as_bytes());
    if let Value::Object(fields) = &mut document {
        fields
            .insert("serialNumber".to_owned(), format!("urn:uuid:{}", serial.hyphenated()).into());
    }
    Ok(format!("{document:#}\n"))
}

fn hash(sha256: &str) -> Value {
    json!({ "alg": "SHA-256", "content": sha256 })
}

fn of_crate(one: &Crate) -> Value {
    let mut value = json!({
        "type": "library",
        "bom-ref": one.reference(),
        "name": one.name,
        "version": one.version,
        "scope": "required",
    });
    let of_registry = one.sha256.as_ref().zip(one.licence.as_ref());
    if let (Value::Object(fields), Some((sha256, licence))) = (&mut value, of_registry) {
        fields.insert("purl".to_owned(), one.reference().into());
        fields.insert("hashes".to_owned(), json!([hash(sha256)]));
        fields.insert("licenses".to_owned(), json!([{ "expression": licence.stated() }]));
    }
    value
}

fn of_material(material: &Material) -> Value {
    let mut value = json!({
        "type": "application",
        "bom-ref": material.reference(),
        "name": material.name,
        "version": material.version,
        // Built with, and nothing of it is in the image.
        "scope": if material.is_linked { "required" } else { "excluded" },
        "licenses": [{ "expression": material.licence.stated() }],
    });
    if let Value::Object(fields) = &mut value {
        if let Some(purl) = &material.purl {
            fields.insert("purl".to_owned(), purl.as_str().into());
        }
        if let Some(sha256) = &material.sha256 {
            fields.insert("hashes".to_owned(), json!([hash(sha256)]));
        }
        if let Some(files) = &material.files {
            let property = json!({ "name": FILES_DIGEST, "value": files });
            fields.insert("properties".to_owned(), json!([property]));
        }
    }
    value
}

/// A program's name in the lists, its entry, and the package it is built from.
fn of_program(bom: &Bom, program: &Node) -> Result<(String, Value, String), BomError> {
    let name = match program.path.as_str() {
        "/init" => "ward-init",
        path => path.rsplit('/').next().unwrap_or_default(),
    };
    let package = bom.crates.values().find(|one| one.name == name);
    let package = package.ok_or_else(|| BomError::NoPackage(program.path.clone()))?;
    let known = |from: &str| json!({ "name": "ward:crates-known-from", "value": from });
    let mut properties = vec![known("tree and lock file")];
    if let Some(more) = named_and_not_linked(bom, program, package)? {
        let name = |(name, version): (String, String)| format!("{name}@{version}");
        let more: Vec<String> = more.into_iter().map(name).collect();
        let named = json!({ "name": "ward:named-and-not-linked", "value": more.join(" ") });
        properties = vec![known("program, tree and lock file"), named];
    }
    let reference = format!("ward/program{}@{}", program.path, package.version);
    let value = json!({
        "type": "application",
        "bom-ref": reference,
        "name": program.path,
        "version": package.version,
        "scope": "required",
        "hashes": [hash(&sha256(&program.content))],
        "properties": properties,
    });
    Ok((reference, value, package.reference()))
}

/// What the program says it is made of and the tree does not have; none when it says nothing.
///
/// `cargo auditable` asks for the features of the whole workspace, so it names more than is linked. What is linked
/// must be among it, and all of it in the lock file: otherwise the program was made of something else.
fn named_and_not_linked(
    bom: &Bom,
    program: &Node,
    package: &Crate,
) -> Result<Option<BTreeSet<(String, String)>>, BomError> {
    let not_carried = |what: String| BomError::NotCarried(program.path.clone(), what);
    let carried = audit(&program.content).map_err(|error| not_carried(error.to_string()))?;
    let Some(mut carried) = carried else { return Ok(None) };
    if let Some((name, version)) = carried.difference(&bom.locked).next() {
        return Err(BomError::NotLocked(format!("{name} {version}")));
    }
    for key in bom.linked_into(package) {
        if !carried.remove(&key) {
            return Err(not_carried(format!("{} {}", key.0, key.1)));
        }
    }
    Ok(Some(carried))
}
