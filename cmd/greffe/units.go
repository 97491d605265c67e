package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	day  = 24 * time.Hour
	year = 365*day + 6*time.Hour // the mean Julian year; legal dates are computed from calendars, not from this
)

// Duration is a time.Duration written with units: Go's (300ms, 5m, 1h30m) and
// d, w, y for days, weeks and years of 365.25 days. A bare number is refused.
type Duration time.Duration

// String returns the shortest form that reads back the same.
func (d Duration) String() string {
	v := time.Duration(d)
	for _, u := range []struct {
		size time.Duration
		name string
	}{{year, "y"}, {7 * day, "w"}, {day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if v != 0 && v%u.size == 0 {
			return strconv.FormatInt(int64(v/u.size), 10) + u.name
		}
	}
	return v.String()
}

// MarshalYAML writes String.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// UnmarshalYAML reads a duration with its unit.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	s := strings.TrimSpace(n.Value)
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day, "y": year} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			v, err := strconv.ParseFloat(number, 64)
			if err != nil || math.IsNaN(v) || math.Abs(v*float64(unit)) > math.MaxInt64 {
				return fmt.Errorf("%q n'est pas une durée ; exemples : 30s, 5m, 12h, 7d, 20y", s)
			}
			*d = Duration(v * float64(unit))
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q n'est pas une durée avec son unité ; exemples : 30s, 5m, 12h, 7d, 20y", s)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes written with its unit: B, KiB, MiB, GiB (or k, M, G
// for the same powers of 1024).
type Size int64

// String returns the largest unit that divides the size.
func (s Size) String() string {
	for _, u := range []struct {
		size Size
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalYAML writes String.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalYAML reads a size with its unit.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	text := strings.TrimSpace(n.Value)
	for _, u := range []struct {
		suffix string
		size   int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"k", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"B", 1}} {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || v < 0 || v > math.MaxInt64/u.size {
			break
		}
		*s = Size(v * u.size)
		return nil
	}
	return fmt.Errorf("%q n'est pas une taille avec son unité ; exemples : 512KiB, 100MiB, 1GiB", text)
}

// Percent is a part of a whole written with its sign: 5%, 0.5 %, 12,5%. More than
// 0 and at most 100.
type Percent float64

// String returns the shortest form that reads back the same.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// MarshalYAML writes String.
func (p Percent) MarshalYAML() (any, error) { return p.String(), nil }

// UnmarshalYAML reads a part with its sign.
func (p *Percent) UnmarshalYAML(n *yaml.Node) error { return p.set(n.Value) }

func (p *Percent) set(s string) error {
	number, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(number), ",", "."), 64)
	if !ok || err != nil || !(v > 0 && v <= 100) {
		return fmt.Errorf("%q n'est pas une part ; exemples : 5%%, 0,5%%, 100%%", s)
	}
	*p = Percent(v)
	return nil
}
