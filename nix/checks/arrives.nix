# Controls of a rebuild: one has the year in it, one the number of jobs. Whoever builds again with another date and another number must
# find both different, or neither came into the sandbox and the comparison says nothing. They are part of no image.
{ names }: {
  year = names.run "ward-control-year" { } "date +%Y > $out";
  jobs = names.run "ward-control-jobs" { } ''echo "$NIX_BUILD_CORES" > $out'';
}
