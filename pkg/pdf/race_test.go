//go:build race

package pdf_test

// The race detector's own memory counts against the bound of a child.
const memoryFactor = 8
