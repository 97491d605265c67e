//go:build !linux

package main

// spread is advice that only Linux takes.
func spread(string) {}
