package board

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Disk is a place where this machine keeps data.
type Disk struct {
	Name      string `json:"name"` // mmcblk0
	Kind      string `json:"kind"` // emmc, sd, nvme, disk
	Model     string `json:"model,omitempty"`
	Maker     string `json:"maker,omitempty"` // of a card: the number in its register
	Made      string `json:"made,omitempty"`  // of a card: month/year
	Serial    string `json:"serial,omitempty"`
	Bytes     int64  `json:"bytes"`
	Removable bool   `json:"removable"`
	ReadOnly  bool   `json:"read_only"`
	Wear      *Wear  `json:"wear,omitempty"` // nil: it does not tell
}

// Wear is what eMMC tells of its life (JESD84-B50 and later).
type Wear struct {
	// UsedPercent is the upper end of the step of 10 % that the more worn of its
	// two kinds of memory is in: 10 is new, 110 is beyond its life. 0: not told.
	UsedPercent int `json:"used_percent"`
	// Reserve is what is left of the spare blocks: "normal", "warning" (80 % are
	// used), "urgent" (90 %); "": not told.
	Reserve string `json:"reserve,omitempty"`
}

// Disks lists what the kernel has a device for: no loop, RAM or mapped ones, and
// no boot partitions of eMMC.
func (p Paths) Disks() []Disk {
	all := []Disk{}
	entries, _ := os.ReadDir(p.sys("block"))
	for _, e := range entries {
		dir := p.sys("block", e.Name())
		if _, err := os.Stat(filepath.Join(dir, "device")); err != nil || isBootPart(e.Name()) {
			continue
		}
		all = append(all, readDisk(dir))
	}
	return all
}

// isBootPart tells mmcblk0boot0 and mmcblk0rpmb from mmcblk0.
func isBootPart(name string) bool {
	rest, card := strings.CutPrefix(name, "mmcblk")
	return card && strings.Trim(rest, "0123456789") != ""
}

func readDisk(dir string) Disk {
	text := func(name string) string { return readText(filepath.Join(dir, name)) }
	sectors, _ := readNumber(filepath.Join(dir, "size"))
	d := Disk{
		Name:      filepath.Base(dir),
		Kind:      "disk",
		Model:     cmp.Or(text("device/model"), text("device/name")),
		Bytes:     max(0, sectors) * 512,
		Removable: text("removable") == "1",
		ReadOnly:  text("ro") == "1",
	}
	switch {
	case strings.HasPrefix(d.Name, "nvme"):
		d.Kind, d.Serial = "nvme", text("device/serial")
	case strings.HasPrefix(d.Name, "mmcblk"):
		d.Kind, d.Serial = "emmc", strings.TrimPrefix(text("device/serial"), "0x")
		d.Maker, d.Made = text("device/manfid"), text("device/date")
		if text("device/type") == "SD" {
			d.Kind = "sd"
		}
		d.Wear = parseWear(text("device/life_time"), text("device/pre_eol_info"))
	}
	return d
}

var reserveWords = map[string]string{"0x01": "normal", "0x02": "warning", "0x03": "urgent"}

// parseWear reads the two steps of "0x01 0x02", 1 to 11 each and 0 for not told,
// and the state of the spare blocks.
func parseWear(lifeTime, preEOL string) *Wear {
	step := uint64(0)
	for _, word := range strings.Fields(lifeTime) {
		if n, err := strconv.ParseUint(word, 0, 8); err == nil && n <= 11 {
			step = max(step, n)
		}
	}
	wear := &Wear{UsedPercent: int(step) * 10, Reserve: reserveWords[preEOL]}
	if *wear == (Wear{}) {
		return nil
	}
	return wear
}
