//go:build !race

package pdf_test

const memoryFactor = 1
