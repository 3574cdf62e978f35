"""Things that stand at home."""

from __future__ import annotations

from drawing.studio import (
    Fill,
    Mask,
    Point,
    Scene,
    across,
    block,
    dark,
    down,
    inside,
    light,
    line,
    mix,
    moved,
    oval,
    pair,
    round_,
    shape,
    soft,
    spun,
    turned,
    union,
    without,
)


def mug() -> Scene:
    """A stoneware mug, dipped in terracotta glaze."""
    scene = Scene("#cfd8cb", "#bccab9")
    scene.stand(376, 606, 128, 16)
    handle = line("M 520 330 C 640 310 640 520 505 520", 34)
    scene.solid(handle, down("#f4ecdd", "#e6d9c2", "#d3bfa2"), 8)
    body = turned("M 216 262 C 216 380 220 480 238 556 C 246 588 258 602 290 609 C 320 615 350 616 372 616", 372)
    scene.solid(body, round_("#eee3d0", 0.5), 14, 0.7)
    dip = inside(body, shape("M 200 500 C 280 470 330 530 400 498 C 450 478 500 512 560 486 L 560 640 L 200 640"))
    scene.paint(dip, round_("#bf6a48", 0.3))
    scene.glow(without(soft(dip, 2), dip), "#6b3a26", 3, 0.35, body)
    scene.glow(line("M 250 590 C 300 616 440 616 494 590", 22), "#2a1416", 10, 0.5, body)
    scene.speckle(without(body, dip), "#7d6a55", 110, 4)
    scene.glow(line("M 258 310 C 262 400 266 470 280 540", 16), "#ffffff", 8, 0.55, body)
    scene.paint(oval(372, 262, 156, 40), across("#d9cbb3", "#fffaf0", "#efe4d0", "#d5c5aa"))
    well = oval(372, 265, 142, 33)
    scene.paint(well, down("#9c8a73", "#d6c6ab"))
    coffee = inside(oval(372, 282, 136, 30), well)
    scene.paint(coffee, across("#5d3420", "#3a1e12", "#4c2917"))
    scene.glow(oval(330, 288, 60, 9), "#c98f5e", 6, 0.7, coffee)
    for x, sway in ((340, -26), (392, 22)):
        steam = line(f"M {x} 226 C {x + sway} 190 {x - sway} 150 {x + sway / 2} 96", 9)
        scene.glow(steam, "#ffffff", 7, 0.5)
    return scene


def chair() -> Scene:
    """A moulded shell chair on oak legs."""
    scene = Scene("#e9dccb", "#d9c8b1", 590)
    wood: Fill = across("#8f5f36", "#d9a66c", "#b87f49", "#7a4d2a")
    scene.glow(oval(404, 664, 190, 20), "#3a2a22", 22, 0.4)
    for x, y in ((292, 664), (476, 664), (330, 636), (438, 636)):
        scene.glow(oval(x + 6, y + 2, 26, 7), "#21151a", 5, 0.5)
    for leg in ("M 352 476 L 324 636 L 334 637 L 366 478", "M 416 476 L 444 636 L 434 637 L 402 478"):
        scene.solid(shape(leg), dark("#9a6a3f", 0.35), 4, 0.6)
    scene.paint(line("M 322 560 L 446 560", 4), "#4a3a34")
    for leg in ("M 318 474 L 284 664 L 296 666 L 340 476", "M 450 474 L 484 664 L 472 666 L 428 476"):
        scene.solid(shape(leg), wood, 4)
    shell = turned(
        "M 384 148 C 300 146 250 178 240 246 C 234 298 250 330 244 362 C 236 388 204 396 204 424"
        " C 206 470 290 492 384 492"
    )
    scene.cast(shell, shift=(0, 14), blur=12)
    scene.solid(shell, across("#1f5a58", "#3f8d86", "#2f7a75", "#1c5350"), 16)
    back = turned("M 384 166 C 310 164 268 192 258 250 C 252 300 266 330 262 366 C 290 392 340 398 384 398")
    scene.paint(back, across("#3a857f", "#56a79e", "#429189", "#2d736e"))
    scene.glow(without(back, moved(back, 0, -26)), "#0f3534", 16, 0.55, back)
    scene.glow(oval(330, 230, 46, 60), "#b9e6dc", 26, 0.4, back)
    seat = shape("M 220 424 C 226 396 290 382 384 382 C 478 382 542 396 548 424 C 540 456 470 470 384 470"
                 " C 298 470 228 456 220 424")  # fmt: skip
    scene.cast(seat, shell, (0, -6), 8)
    scene.solid(seat, down("#2d756f", "#57aaa0", "#4a9c93"), 8, 0.8)
    scene.glow(oval(340, 412, 80, 14), "#c8efe6", 14, 0.45, seat)
    return scene


def lamp() -> Scene:
    """A mushroom lamp, lit, at dusk."""
    scene = Scene("#3c4f66", "#31425a", 560)
    scene.glow(oval(384, 400, 300, 250), "#ffcf8f", 90, 0.6)
    scene.stand(384, 622, 112, 16)
    scene.glow(oval(384, 640, 260, 44), "#ffd9a0", 36, 0.5)
    foot = turned("M 352 356 C 356 450 352 500 316 560 C 288 600 280 612 290 620 C 310 632 350 634 384 634")
    scene.solid(foot, round_("#e9dcc8", 0.4), 12, 0.8)
    scene.glow(block(330, 350, 440, 420), "#ffc978", 22, 0.85, foot)
    scene.glow(line("M 352 420 C 350 500 330 560 310 604", 10), "#ffffff", 6, 0.5, foot)
    dome = turned("M 384 140 C 262 142 176 226 168 344 C 168 356 176 362 190 364 C 260 378 320 380 384 380")
    scene.solid(dome, down("#f0a25e", "#f6b674", "#ffd79d", "#fff0cf"), 16, 0.7, "#7a3b1e")
    scene.glow(oval(384, 350, 150, 60), "#fffdf0", 36, 0.8, dome)
    scene.glow(oval(292, 224, 44, 50), "#fff6e0", 24, 0.55, dome)
    scene.glow(line("M 172 352 C 240 386 528 386 596 352", 7), "#fffdf3", 3, 0.9, dome)
    return scene


def bottle() -> Scene:
    """An amber glass bottle with a dropper."""
    scene = Scene("#e7d3cb", "#d8beb3", 570)
    scene.stand(384, 624, 116, 15)
    scene.glow(oval(500, 632, 90, 14), "#d98a3a", 18, 0.6)
    rubber = turned("M 384 92 C 366 92 358 102 358 120 L 354 176 L 384 178")
    scene.solid(rubber, round_("#33302f", 0.3), 7)
    collar = block(336, 172, 432, 232, 8)
    scene.solid(collar, across("#6e552a", "#f3dfa6", "#d9b86a", "#9a7836", "#5f4820"), 6)
    for x in range(344, 430, 8):
        scene.paint(block(x, 180, x + 2, 226, 1), "#6b5228", 0.35)
    glass = turned(
        "M 384 228 L 344 228 L 344 262 C 340 286 300 292 282 318 C 272 332 270 346 270 366 L 270 592"
        " C 270 618 280 628 306 630 L 384 632"
    )
    scene.solid(
        glass, across("#4a1d08", "#8f4412", "#c46e1f", "#a2520f", "#c87425", "#8a4110", "#47200a"), 12, 0.9, "#2b0f05"
    )
    scene.glow(block(286, 228, 482, 300, 20), "#f2b45e", 20, 0.4, glass)
    scene.glow(oval(400, 612, 80, 14), "#ffc878", 10, 0.65, glass)
    paper = inside(block(262, 384, 506, 566), glass)
    scene.paint(paper, across("#d9cdb9", "#fbf5e8", "#f7efdf", "#e2d5bf", "#b7a88f"))
    scene.paint(oval(384, 432, 21), "#8d4a2b")
    scene.paint(line("M 384 446 C 366 434 372 420 384 417 C 396 420 402 434 384 446", 2.4), "#fbf5e8")
    for y, half, width in ((476, 62, 5), (494, 42, 3), (522, 70, 1.6), (534, 70, 1.6), (546, 38, 1.6)):
        scene.paint(line(f"M {384 - half} {y} L {384 + half} {y}", width), "#5c4434", 0.85)
    scene.glow(line("M 296 330 C 290 350 290 360 290 600", 9), "#fff3dc", 3, 0.75, glass)
    scene.glow(line("M 478 340 L 480 600", 4), "#ffd9a0", 3, 0.5, glass)
    return scene


def leaf(scene: Scene, root: float, tip: Point, width: float, bend: float, shade: float) -> None:
    """One leaf of a snake plant: yellow edges, dark bands."""
    (x, y), low = tip, 520.0
    middle = (root + x) / 2 + bend

    def outline(half: float) -> Mask:
        return shape(
            f"M {root - half * 0.6} {low} C {middle - half * 1.5} {low - 130} {middle - half} {y + 120} {x} {y}"
            f" C {middle + half} {y + 120} {middle + half * 1.5} {low - 130} {root + half * 0.6} {low}"
        )

    whole, heart = outline(width), outline(width * 0.72)
    scene.cast(whole, shift=(6, 4), blur=6)
    scene.solid(whole, across(dark("#d9cf7a", shade), dark("#c2bd62", shade)), 5, 0.7)
    scene.paint(heart, across(dark("#2f6b46", shade), dark("#5f9c63", shade), dark("#2c6040", shade)))
    bands = [line(f"M {root - 60} {band + 8} Q {root} {band - 10} {root + 60} {band + 5}", 7)
             for band in range(int(y) + 40, 520, 24)]  # fmt: skip
    wide = [moved(band, middle - root, 0) for band in bands]
    scene.glow(union(*wide, *bands), dark("#1f4a31", shade), 2.5, 0.45, heart)
    scene.glow(without(whole, moved(whole, 9, 0)), "#f4f6c8", 3, 0.4, whole)


def planter() -> Scene:
    """A snake plant in a terracotta pot."""
    scene = Scene("#d7e3e4", "#c2d2d3", 560)
    scene.stand(384, 634, 104, 15)
    leaf(scene, 384, (352, 118), 30, -16, 0.3)
    leaf(scene, 410, (470, 150), 27, 16, 0.3)
    leaf(scene, 352, (268, 216), 27, -22, 0.12)
    leaf(scene, 420, (528, 262), 25, 24, 0.12)
    leaf(scene, 392, (408, 178), 31, 6, 0.0)
    leaf(scene, 362, (334, 300), 25, -6, 0.0)
    pot = turned("M 268 506 L 292 616 C 296 632 308 638 330 640 L 384 642")
    scene.solid(pot, round_("#c56f4b", 0.3), 12, 0.8)
    scene.glow(block(250, 500, 520, 530), "#4a2014", 8, 0.6, pot)
    rim = block(252, 462, 516, 514, 10)
    scene.solid(rim, round_("#d07d57", 0.35), 8, 0.8)
    scene.speckle(union(pot, rim), "#8a4529", 130, 9)
    scene.glow(line("M 284 474 L 284 500", 16), "#ffe9d6", 7, 0.5, rim)
    return scene


def sofa() -> Scene:
    """A two-seater in mustard velvet."""
    scene = Scene("#cfd3dc", "#bfb6ad", 545)
    scene.glow(oval(404, 622, 330, 26), "#2b1d22", 20, 0.5)
    scene.glow(block(140, 580, 640, 622, 20), "#160d10", 12, 0.55)
    for x in (139, 629):
        scene.glow(oval(x + 4, 634, 16, 5), "#160d10", 4, 0.6)
    for outline in ("M 128 570 L 152 570 L 144 634 L 134 634", "M 640 570 L 616 570 L 624 634 L 634 634"):
        scene.solid(shape(outline), across("#6b4325", "#b67d4b", "#70482a"), 4)
    velvet, lit = "#c98a2b", "#dda345"
    back = block(124, 268, 644, 520, 46)
    scene.solid(back, across(dark(velvet, 0.1), light(velvet, 0.12), velvet, dark(velvet, 0.25)), 16)
    for left in (150, 386):
        cushion = block(left, 290, left + 232, 470, 40)
        scene.cast(cushion, back, (6, 8), 10)
        scene.solid(cushion, down(light(lit, 0.2), lit, dark(lit, 0.12)), 18, 0.9)
        scene.glow(oval(left + 84, 340, 64, 36), "#ffe9bd", 26, 0.45, cushion)
    base = block(118, 500, 650, 590, 18)
    scene.solid(base, down(dark(velvet, 0.12), dark(velvet, 0.32)), 10, 0.7)
    for left in (158, 385):
        seat = block(left, 442, left + 226, 524, 28)
        scene.cast(seat, union(base, back), (2, 9), 9)
        scene.solid(seat, down(light(lit, 0.3), lit, dark(lit, 0.18)), 12, 0.9)
    arms = pair(block(84, 372, 170, 592, 38))
    scene.cast(arms, union(base, back), (10, 6), 10)
    scene.solid(arms, across(light(velvet, 0.2), velvet, dark(velvet, 0.22)), 14)
    square = shape("M 214 330 Q 272 344 330 330 Q 318 388 330 446 Q 272 434 214 446 Q 226 388 214 330")
    pillow = spun(square, -12, 272, 388)
    scene.cast(pillow, shift=(10, 12), blur=10)
    scene.solid(pillow, across("#f4ede0", "#e6dccb", "#cfc2ad"), 12, 0.8)
    for shift in (-30, 0, 30):
        scene.paint(inside(spun(block(268 + shift, 300, 276 + shift, 480), -12, 272, 388), pillow), "#4c6a73", 0.75)
    return scene


def sprig(scene: Scene, root: Point, bend: Point, tip: Point, tone: str) -> None:
    """A stem of eucalyptus: pairs of round leaves, smaller towards the tip."""
    (x0, y0), (x1, y1), (x2, y2) = root, bend, tip
    lean = (x2 - x0) * 0.14
    scene.paint(line(f"M {x0} {y0} Q {x1} {y1} {x2} {y2}", 4), "#7b6a4c")
    for step in range(2, 9):
        t = step / 8
        x = (1 - t) ** 2 * x0 + 2 * t * (1 - t) * x1 + t * t * x2
        y = (1 - t) ** 2 * y0 + 2 * t * (1 - t) * y1 + t * t * y2
        size = 27 - 11 * t
        for side in (-1, 1):
            blade = spun(oval(x + side * size * 1.05, y, size, size * 0.66), -side * (24 + 7 * (step % 3)) + lean, x, y)
            shade = mix(tone, "#4e6b57", 0.45 if side == 1 else 0.2)
            scene.cast(blade, shift=(3, 5), blur=4)
            scene.solid(blade, across(light(shade, 0.12 + 0.15 * t), shade), 4, 0.8)
    end = spun(oval(x2, y2 - 12, 9, 15), lean, x2, y2)
    scene.solid(end, light(tone, 0.2), 4, 0.8)


def vase() -> Scene:
    """A ribbed stoneware vase with eucalyptus."""
    scene = Scene("#dcb9a3", "#cda68d", 565)
    scene.stand(384, 632, 66, 13)
    sprig(scene, (380, 300), (330, 190), (226, 122), "#9fb59a")
    sprig(scene, (388, 300), (450, 200), (544, 140), "#91aa90")
    sprig(scene, (384, 300), (370, 180), (392, 66), "#b0c2a4")
    body = turned("M 346 282 C 350 320 340 340 306 376 C 254 432 250 540 312 606 C 328 626 350 640 384 640")
    scene.solid(body, round_("#f1e9dd", 0.5), 20, 0.9)
    for place in range(-4, 5):
        ridge = line(f"M {384 + place * 9} 292 C {384 + place * 9} 340 {384 + place * 31} 400 {384 + place * 31} 480"
                     f" C {384 + place * 31} 560 {384 + place * 18} 610 {384 + place * 15} 640", 2.4)  # fmt: skip
        scene.glow(ridge, "#8f7a68", 1.6, 0.42, body)
        scene.glow(moved(ridge, -4, 0), "#ffffff", 1.8, 0.5, body)
    scene.glow(oval(318, 470, 26, 90), "#ffffff", 22, 0.55, body)
    lip = oval(384, 284, 40, 10)
    scene.paint(lip, across("#fffaf2", "#e5d9c8"))
    scene.paint(oval(384, 285, 32, 6.5), "#6b5547")
    for x in (380, 384, 389):
        scene.paint(line(f"M {x} 289 L {x} 270", 4), "#7b6a4c")
    return scene
