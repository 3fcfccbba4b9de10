//go:build !bare

// Package bare says whether this build goes without policy, limits and metrics. The build
// tag "bare" makes one that does: `make bench` measures with it what those three cost.
// It is for nothing else.
package bare

// On is a constant, so that nothing of it is left in a build with everything.
const On = false
