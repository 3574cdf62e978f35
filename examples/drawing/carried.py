"""Things that people wear, carry and read."""

from __future__ import annotations

from drawing.studio import (
    Fill,
    Mask,
    Scene,
    across,
    block,
    down,
    inside,
    light,
    line,
    mirrored,
    moved,
    oval,
    pair,
    round_,
    shape,
    spun,
    turned,
    union,
    without,
)


def _lace(scene: Scene, shoe: Mask) -> None:
    """Five laces down the throat of the shoe."""
    for x, y in ((376, 392), (402, 414), (430, 434), (461, 450), (494, 462)):
        scene.paint(oval(x - 16, y + 24, 4), "#8b8173")
        lace = line(f"M {x - 16} {y + 24} C {x - 12} {y + 8} {x - 2} {y - 10} {x + 16} {y - 8}", 9)
        scene.cast(lace, shoe, (2, 4), 3)
        scene.solid(lace, "#ffffff", 3, 0.8)


def sneaker() -> Scene:
    """A running shoe from the side."""
    scene = Scene("#d6dbe6", "#c3cad8", 570)
    scene.frame = (60, 82, 740, 762)
    scene.stand(396, 622, 250, 14)
    scene.solid(
        shape("M 326 410 C 324 364 350 342 380 350 C 396 356 400 376 410 400 L 440 440 L 360 440"),
        down("#f3d9c4", "#d9b294"), 7,
    )  # fmt: skip
    scene.paint(shape("M 168 396 C 210 376 320 378 344 388 C 326 446 220 456 168 396"), down("#33364a", "#5a5e76"))
    upper = shape(
        "M 146 590 C 138 520 148 450 142 410 C 142 384 164 376 180 394 C 206 424 250 440 292 424"
        " C 320 412 330 392 348 382 C 362 376 374 384 386 396"
        " C 420 428 462 452 512 466 C 584 484 652 498 670 560 C 672 572 672 580 670 590"
    )
    scene.solid(upper, across("#e6e0d5", "#fbf8f2", "#f6f1e8", "#e6dfd2"), 12, 0.8)
    toe = inside(upper, shape("M 596 440 C 566 510 572 560 590 600 L 700 600 L 700 440"))
    heel = inside(upper, shape("M 110 360 L 184 380 C 192 440 176 470 206 520 C 222 546 226 570 226 600 L 110 600"))
    first = inside(upper, shape("M 286 600 C 330 540 372 480 392 396 L 440 436 C 420 490 390 540 356 600"))
    second = inside(upper, shape("M 382 600 C 412 545 440 500 454 440 L 484 452 C 470 510 448 550 426 600"))
    for part, fill in (
        (toe, across("#f3dfce", "#e4c5ab")), (heel, across("#b8473a", "#e0674f", "#d65b45")),
        (first, down("#e77c5e", "#cf5440")), (second, down("#edab78", "#d98550")),
    ):  # fmt: skip
        scene.cast(part, upper, (2, 3), 3)
        scene.solid(part, fill, 6, 0.7)
    stay = inside(upper, line("M 356 392 C 400 436 450 466 520 482", 44))
    scene.cast(stay, upper, (2, 5), 4)
    scene.solid(stay, across("#ffffff", "#f0eadf"), 5, 0.7)
    scene.glow(line("M 180 398 C 206 428 250 444 292 428 C 320 416 330 396 346 388", 7), "#a59a8a", 2, 0.5, upper)
    _lace(scene, union(upper, stay))
    sole = shape(
        "M 136 570 C 120 584 116 612 132 622 C 150 628 320 623 400 624 L 570 627 C 636 628 684 612 684 576"
        " C 684 560 678 556 670 564 C 640 584 560 580 470 580 C 330 580 210 592 136 570"
    )
    scene.glow(moved(sole, 0, -8), "#4a3030", 5, 0.35, upper)
    scene.solid(sole, down("#ffffff", "#f8f5f0", "#e2ddd5"), 8, 0.8)
    scene.paint(without(sole, moved(sole, 0, -12)), across("#3d4254", "#565d76", "#3d4254"))
    scene.glow(line("M 150 598 C 300 604 480 594 650 600", 5), "#e0674f", 0.6, 0.9, sole)
    return scene


def backpack() -> Scene:
    """A canvas backpack with leather straps."""
    scene = Scene("#ead9b8", "#dcc69d", 560)
    scene.stand(388, 630, 176, 18)
    leather: Fill = across("#8a4f2a", "#c5824c", "#a9672f", "#7d4524")
    scene.solid(line("M 340 196 C 340 130 428 130 428 196", 17), leather, 5)
    scene.solid(pair(line("M 236 300 C 180 360 180 520 226 590", 26)), "#2f4437", 7)
    scene.solid(pair(block(196, 440, 262, 606, 26)), round_("#3f5a49", 0.2), 9)
    body = turned("M 384 186 C 288 182 238 222 228 312 C 216 420 214 520 222 588 C 228 622 246 632 300 634 L 384 636")
    scene.cast(body, shift=(10, 8))
    scene.solid(body, across("#3c5a47", "#5f8468", "#557a5f", "#3a5745", "#2f4a3a"), 18)
    pocket = block(266, 450, 502, 612, 30)
    scene.cast(pocket, body, (5, 8), 8)
    scene.solid(pocket, across("#4b6f57", "#688f71", "#5b8165", "#456650"), 10, 0.8)
    scene.paint(line("M 284 486 L 484 486", 2.5), "#2f4a3a")
    flap = turned("M 384 182 C 288 178 234 216 224 306 C 220 340 220 372 224 398 C 280 428 340 434 384 434")
    scene.cast(flap, union(body, pocket), (4, 12), 10)
    scene.solid(flap, across("#466a53", "#6f967a", "#638a6e", "#46694f", "#38573f"), 14, 0.9)
    stitch = [oval(232 + 8 * step, 388 + 30 * (1 - ((step - 19) / 19) ** 2), 1.5, 1.1) for step in range(39)]
    scene.paint(union(*stitch), "#dcd3b0", 0.8)
    scene.glow(oval(310, 250, 60, 44), "#c4dfc4", 30, 0.4, flap)
    for x in (316, 452):
        strap = block(x - 15, 344, x + 15, 524, 7)
        scene.cast(strap, union(flap, pocket, body), (4, 5), 4)
        scene.solid(strap, leather, 4)
        frame = without(block(x - 22, 452, x + 22, 490, 7), block(x - 14, 460, x + 14, 482, 3))
        scene.cast(frame, strap, (2, 4), 3)
        scene.solid(frame, down("#f5e2b0", "#c9a352", "#8d6c2c"), 3)
        scene.paint(line(f"M {x} 458 L {x} 486", 4), "#d9bb72")
    badge = block(352, 300, 416, 344, 8)
    scene.solid(badge, leather, 3, 0.8)
    scene.paint(line("M 366 330 L 378 312 L 386 322 L 392 315 L 402 330", 3), "#f3dcb4")
    return scene


def watch() -> Scene:
    """A wristwatch, lying, seen from above."""
    scene = Scene("#d9cfc8", "#dcd2cb", -60)
    leather: Fill = across("#4a2b1c", "#8a5636", "#7a4a2d", "#5a3421", "#3d2316")
    straps = [shape("M 322 270 L 332 -40 L 436 -40 L 446 270"), shape("M 322 500 L 332 800 L 436 800 L 446 500")]
    both = union(*straps)
    scene.glow(moved(both, 18, 16), "#3a2a26", 14, 0.55)
    scene.paint(both, leather)
    for outline in ("M 332 262 L 341 -40", "M 436 262 L 427 -40", "M 332 506 L 341 800", "M 436 506 L 427 800"):
        stitches = inside(line(outline, 2.6), union(*(block(0, y, 768, y + 9) for y in range(0, 768, 15))))
        scene.paint(inside(stitches, both), "#e4c9a2", 0.85)
    scene.paint(union(*(oval(384, y, 5.5, 4) for y in (600, 640, 680, 720))), "#24130c")
    lugs = pair(union(block(300, 226, 330, 330, 10), block(300, 440, 330, 544, 10)))
    case = union(oval(384, 384, 150), lugs, block(524, 368, 556, 400, 6))
    scene.glow(moved(case, 16, 20), "#2a1c1c", 14, 0.6)
    scene.solid(lugs, across("#8d9299", "#eef0f2", "#a6abb2"), 5)
    scene.solid(block(528, 368, 556, 400, 6), down("#f3f4f6", "#8b9098", "#d8dbe0", "#777c84"), 4)
    scene.solid(oval(384, 384, 150), across("#f7f8fa", "#c3c8cf", "#8f959d", "#d9dde2", "#7f858e"), 8)
    scene.solid(oval(384, 384, 134), across("#8f959d", "#c9ced5", "#f5f6f8"), 4, 0.5)
    dial = oval(384, 384, 122)
    scene.paint(dial, down("#2c4a6e", "#1c3352", "#12233c"))
    scene.glow(without(dial, moved(dial, 8, 10)), "#050b16", 9, 0.7, dial)
    for hour in range(12):
        mark = block(380.5, 274, 387.5, 274 + (26 if hour % 3 == 0 else 15), 2)
        scene.paint(spun(mark, hour * 30, 384, 384), "#f4e9d2")
    for length, width, angle, colour in ((66, 9, 305, "#f7f1e3"), (98, 6.5, 54, "#f7f1e3"), (104, 2.4, 200, "#e2673f")):
        hand = spun(line(f"M 384 400 L 384 {384 - length}", width), angle, 384, 384)
        scene.glow(moved(hand, 4, 6), "#000000", 3, 0.5, dial)
        scene.paint(hand, colour)
    scene.paint(oval(384, 384, 8), "#e2673f")
    scene.glow(shape("M 300 300 L 420 262 L 330 470 L 280 430"), "#ffffff", 16, 0.2, dial)
    return scene


def headphones() -> Scene:
    """Over-ear headphones."""
    scene = Scene("#a7c3bf", "#8fafaa", 580)
    scene.glow(oval(244, 640, 74, 12), "#2b161a", 10, 0.6)
    scene.glow(oval(540, 640, 74, 12), "#2b161a", 10, 0.6)
    scene.glow(oval(404, 650, 240, 22), "#3a1d20", 28, 0.3)
    band = line("M 212 452 C 180 110 588 110 556 452", 32)
    scene.solid(band, across("#f2ece2", "#fffdf8", "#efe8dc", "#d8cdbd"), 9)
    pad = line("M 262 250 C 300 178 468 178 506 250", 20)
    scene.cast(pad, band, (0, 3), 3)
    scene.solid(pad, across("#7f573c", "#b98a63", "#8c6144"), 6)
    arms = pair(block(196, 384, 228, 480, 12))
    scene.solid(arms, across("#c8ccd2", "#ffffff", "#9aa0a8"), 4)
    cushions = pair(spun(block(236, 424, 302, 626, 32), 4, 223, 525))
    scene.solid(cushions, across("#6f4a32", "#b58660", "#8e6345", "#5f3e2a"), 13)
    scene.glow(pair(spun(block(279, 440, 282, 610), 4, 223, 525)), "#3f2618", 2, 0.6, cushions)
    cups = pair(spun(block(176, 416, 270, 634, 46), 4, 223, 525))
    scene.cast(cups, cushions, (6, 6), 7)
    scene.solid(cups, across("#efe8dc", "#fffdf8", "#efe7da", "#cfc3b1"), 16)
    rings = pair(spun(without(block(196, 448, 250, 602, 27), block(201, 453, 245, 597, 22)), 4, 223, 525))
    scene.paint(rings, "#c69a72")
    scene.paint(mirrored(spun(oval(204, 612, 3.4), 4, 223, 525)), "#3fae7f")
    return scene


def book() -> Scene:
    """A hardcover with a landscape on its cover."""
    scene = Scene("#cfdad6", "#bccac5", 560)
    scene.glow(shape("M 236 628 L 286 664 L 690 640 L 560 610"), "#22302e", 18, 0.5)
    scene.glow(shape("M 240 634 L 282 662 L 566 636 L 560 622"), "#101a19", 5, 0.6)
    spine = shape("M 238 168 L 282 150 L 282 660 L 238 630")
    scene.solid(spine, across("#7d2f2a", "#b04c3e", "#8a362f"), 6)
    for y in (214, 226, 560, 572):
        scene.paint(inside(shape(f"M 238 {y} L 282 {y - 8} L 282 {y - 4} L 238 {y + 4}"), spine), "#eac98d")
    cover = shape("M 282 150 L 562 176 L 562 632 L 282 660")
    scene.paint(cover, down("#f6dcb0", "#f3b98a", "#e2876a", "#c2604f"))
    scene.paint(inside(oval(446, 330, 62), cover), down("#fff3cf", "#ffd98c"))
    scene.glow(oval(446, 330, 74), "#fff1c4", 18, 0.5, cover)
    hills = (
        ("M 270 440 C 340 380 400 430 450 400 C 500 372 540 400 580 380 L 580 700 L 270 700", "#b4645a"),
        ("M 270 500 C 330 450 390 500 450 470 C 510 440 540 470 580 450 L 580 700 L 270 700", "#7f4a55"),
        ("M 270 540 C 350 560 400 510 470 540 C 520 560 550 540 580 530 L 580 700 L 270 700", "#4b3a4d"),
        ("M 270 610 C 340 580 420 620 480 596 C 530 580 550 600 580 590 L 580 700 L 270 700", "#2c2c3f"),
    )
    for outline, colour in hills:
        hill = inside(shape(outline), cover)
        scene.paint(hill, down(light(colour, 0.12), colour))
    scene.paint(inside(shape("M 318 206 L 526 222 L 526 236 L 318 221"), cover), "#7d2f2a")
    scene.paint(inside(shape("M 318 236 L 446 245 L 446 253 L 318 245"), cover), "#7d2f2a", 0.75)
    scene.glow(block(282, 140, 292, 670), "#2a1210", 4, 0.55, cover)
    scene.glow(shape("M 300 150 L 400 150 L 330 660 L 300 660"), "#ffffff", 30, 0.2, cover)
    scene.glow(without(cover, moved(cover, -5, -5)), "#2a1210", 5, 0.35, cover)
    return scene
