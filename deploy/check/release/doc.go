// Package release checks what a release is made of without publishing one: the image's
// Dockerfile, by doing its steps in folders, and the packages, by making and looking into them.
package release
