# Step 2: static programs. What goes into the image is built apart from the tools, so that a tool's change leaves the image alone.
{ names, sources }:
let
  shipped = names.rust { name = "ward-shipped"; source = sources; packages = [ "ward-init" "ward-broker" "ward-media" "ward-twiml" ]; };
  # One program as a package of its own.
  one = program: names.run program { } "install -D ${shipped}/bin/${program} $out/bin/${program}";
in {
  inherit shipped;
  init = one "ward-init";
  broker = one "ward-broker";
  media = one "ward-media";
  twiml = one "ward-twiml";
  # The operator's tool, and the one that puts images together. Neither is in an image.
  ward = names.rust { name = "ward"; source = sources; packages = [ "ward" ]; };
  image = names.rust { name = "ward-image"; source = sources; packages = [ "ward-image" ]; };
}
