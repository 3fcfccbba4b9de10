// Package chaos breaks what is around respgate while clients use it, and checks that no
// command is lost, doubled or answered with another's reply. It has tests only: see
// docs/CHAOS.md.
package chaos
