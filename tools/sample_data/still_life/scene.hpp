// SPDX-License-Identifier: MIT
#pragma once

#include <array>

#include "foods.hpp"

/// A whole picture: table, plate, dish, what stands beside it, light and camera.
namespace still_life {

struct Dish {
    const char* name;
    void (*paint)(Brush&, const Frame&);
};

/// The eleven classes of the course's homework, in its order.
constexpr std::array<Dish, 11> dishes{{
    {"bread", bread},
    {"dairy product", dairy_product},
    {"dessert", dessert},
    {"egg", egg},
    {"fried food", fried_food},
    {"meat", meat},
    {"noodles/pasta", noodles_pasta},
    {"rice", rice},
    {"seafood", seafood},
    {"soup", soup},
    {"vegetable/fruit", vegetable_fruit},
}};

inline void paint_table(Brush& brush) {
    const Frame frame = Frame{}.at(0.5F, 0.5F).turned(brush.angle());
    const Color base = brush.pick(
        {0x8a5a34, 0xd8c8b0, 0xf0ece4, 0x4a4e54, 0x3a5a7a, 0xb04038, 0x6a8a5a, 0xe0c070, 0x2a2a30, 0xc89a70});
    const Color other =
        brush.vary(brush.chance(0.5F) ? base * brush.uniform(0.6F, 0.9F) : mix(base, hex(0xffffff), 0.5F), 0.04F);
    const float pitch = brush.uniform(6.0F, 18.0F);
    const std::uint32_t seed = brush.seed();
    const int pattern = brush.whole(0, 5);
    const auto stripe = [pitch](float x) { return smooth_step(-0.25F, 0.25F, std::sin(x * pitch * 2.0F)); };
    brush.wash(frame, [&](Point p, Color) {
        const float fine = Brush::noise(p * 60.0F, seed) - 0.5F;
        switch (pattern) {
            case 0:
                return base * (1.0F + 0.08F * fine);
            case 1:
                return mix(base, other, stripe(p.x)) * (1.0F + 0.06F * fine);
            case 2:
                return mix(base, other, 0.5F * (stripe(p.x) + stripe(p.y))) * (1.0F + 0.06F * fine);
            case 3: {
                const float rings = Brush::noise({p.x * 2.5F, p.y * pitch * 1.8F}, seed);
                const float plank = std::abs(std::sin(p.y * pitch * 0.5F)) < 0.06F ? 0.6F : 1.0F;
                return mix(base, other, rings) * (plank * (1.0F + 0.08F * fine));
            }
            case 4: {
                const Point cell{std::fmod(std::abs(p.x * pitch), 1.0F) - 0.5F,
                                 std::fmod(std::abs(p.y * pitch), 1.0F) - 0.5F};
                return mix(other, base, smooth_step(0.2F, 0.28F, length(cell)));
            }
            default: {
                const float n = Brush::noise(p * 4.0F, seed) + 0.5F * Brush::noise(p * 11.0F, seed ^ 7U);
                return mix(base, other, std::abs(std::sin(n * 7.0F)));
            }
        }
    });
}

inline void paint_plate(Brush& brush, const Frame& frame) {
    const Color glaze = brush.pick({0xf6f3ec, 0xf6f3ec, 0xe8e2d6, 0xd0dce4, 0x30343a, 0xc07850, 0x7a9ab0, 0xe8d8a8});
    const Finish china{.volume = 0.12F, .edge = 0.12F, .grain = 0.02F, .gloss = 0.1F};
    switch (brush.whole(0, 5)) {
        case 0:
            break;  // straight on the table
        case 1: {   // board
            const Frame f = frame.turned(brush.uniform(-0.4F, 0.4F));
            const Color wood = brush.pick({0xb88450, 0x8a5a30, 0xd8b078, 0x5a3a20});
            brush.shadow(f, 1.3F, 1.1F, 0.5F);
            brush.fill(f, 1.8F, wood,
                       {.volume = 0.1F,
                        .edge = 0.2F,
                        .grain = 0.12F,
                        .grain_size = 0.2F,
                        .patches = 0.4F,
                        .second = wood * 0.92F},
                       [](Point p) { return box(p, 1.25F, 1.05F, 0.15F); });
            break;
        }
        default: {
            const float rim = brush.uniform(1.1F, 1.35F);
            brush.shadow(frame, rim * 1.08F, rim * 1.08F, 0.55F);
            brush.disc(frame, rim, glaze, china);
            if (brush.chance(0.35F)) {
                const Color band = brush.pick({0x2a5a9a, 0xb03030, 0xc8a040, 0x3a7a5a, 0x303030});
                brush.fill(frame, rim, band, plain, [=](Point p) { return std::abs(circle(p, rim * 0.93F)) - 0.025F; });
            }
            brush.disc(frame, rim * 0.76F, glaze * 0.86F, {.volume = -0.1F, .edge = 0.0F, .grain = 0.02F});
            brush.disc(frame.at(0.0F, 0.01F), rim * 0.73F, glaze, {.volume = -0.06F, .edge = 0.0F, .grain = 0.02F});
        }
    }
}

inline void paint_fork(Brush& brush, const Frame& f) {
    const Color metal = brush.pick({0xc8ccd0, 0x9a9ea4, 0xd0b070});
    brush.bar(f.at(0.5F, 0.0F), 0.7F, 0.045F, 0.04F, metal, glossy);
    brush.bar(f.at(-0.3F, 0.0F), 0.13F, 0.13F, 0.06F, metal, glossy);
    for (int i = -1; i <= 1; ++i)
        brush.bar(f.at(-0.58F, 0.095F * static_cast<float>(i)), 0.2F, 0.028F, 0.02F, metal, glossy);
}

/// A small thing beside the dish: a garnish, a drink, or a taste of another class.
inline void paint_side(Brush& brush, const Frame& f) {
    switch (brush.whole(0, 7)) {
        case 0:
            leaf(brush, f, 0.32F);
            break;
        case 1:
            citrus_slice(brush, f, 0.26F, brush.pick({0xf0d030, 0x8ac040, 0xf09020}));
            break;
        case 2:
            brush.disc(f, 0.2F, brush.pick({0xd83020, 0xe84828}), glossy);
            break;
        case 3:
            brush.blob(f, 0.26F, 0.1F, brush.pick({0xa82c14, 0xf4ead0, 0x5a2c14, 0x8aa040}), glossy);
            break;
        case 4: {  // a drink from above
            brush.shadow(f, 0.36F, 0.36F, 0.4F);
            brush.disc(f, 0.34F, {0.85F, 0.88F, 0.9F}, glossy);
            brush.disc(f, 0.29F, brush.pick({0x5a2c14, 0xe8d8b8, 0xb83018, 0xe0a030, 0xf6f2ea}), glossy);
            break;
        }
        case 5: {  // a dip
            brush.disc(f, 0.28F, hex(0xf2eee4), creamy);
            brush.disc(f, 0.22F, brush.pick({0xa81818, 0x3a1a10, 0xf4ead0, 0xe0b030}), glossy);
            break;
        }
        case 6:
            paint_fork(brush, f.scaled(0.8F));
            break;
        default: {  // a taste of any class
            const auto other = static_cast<std::size_t>(brush.whole(0, static_cast<int>(dishes.size()) - 1));
            dishes[other].paint(brush, f.scaled(brush.uniform(0.28F, 0.42F)));
        }
    }
}

/// Something between the camera and the dish.
inline void paint_obstacle(Brush& brush, const Frame& frame) {
    const Point p = on_circle(brush.angle()) * brush.uniform(0.5F, 1.0F);
    const Frame f = frame.at(p.x, p.y).turned(brush.angle());
    switch (brush.whole(0, 3)) {
        case 0:
            paint_fork(brush, f);
            break;
        case 1: {  // napkin
            const Color cloth = brush.pick({0xf4f0e8, 0xb03838, 0x3a5a8a, 0xe0d0a0});
            brush.bar(f.at(0.45F, 0.0F), 0.6F, 0.5F, 0.03F, cloth,
                      {.volume = 0.2F, .edge = 0.15F, .grain = 0.15F, .grain_size = 0.2F});
            break;
        }
        case 2:  // steam or a reflection
            for (int i = 0; i < 3; ++i)
                brush.blob(f.at(brush.uniform(-0.3F, 0.3F), brush.uniform(-0.3F, 0.3F)), 0.45F, 0.15F, {1, 1, 1},
                           {.volume = 0.0F, .edge = 0.0F, .grain = 0.0F, .opacity = 0.18F, .softness = 0.5F});
            break;
        default:  // out of focus, close to the lens
            brush.disc(f.at(0.6F, 0.0F), 0.5F, brush.pick({0x3a7a28, 0xe0d0c0, 0x303030, 0xd0a080}),
                       {.volume = 0.2F, .edge = 0.0F, .grain = 0.0F, .opacity = 0.85F, .softness = 0.35F});
    }
}

/// Mixes each pixel with its neighbors, `share` of the way.
inline void blur(Brush& brush, float share) {
    const int size = brush.size();
    std::vector<Color>& pixels = brush.pixels();
    for (const int step : {1, size}) {
        const std::vector<Color> before = pixels;
        const auto index = [](int i) { return static_cast<std::size_t>(i); };
        for (int i = step; i + step < size * size; ++i)
            pixels[index(i)] = before[index(i)] * (1.0F - share) +
                               (before[index(i - step)] + before[index(i + step)]) * (0.5F * share);
    }
}

/// The camera's part: uneven light, color cast, exposure, contrast, focus and noise.
inline void develop(Brush& brush) {
    const Color cast{brush.uniform(0.88F, 1.12F), brush.uniform(0.93F, 1.05F), brush.uniform(0.8F, 1.12F)};
    const float exposure = brush.uniform(0.8F, 1.25F);
    const float contrast = brush.uniform(0.9F, 1.2F);
    const float saturation = brush.uniform(0.8F, 1.25F);
    const float gradient = brush.uniform(0.0F, 0.35F);
    const float vignette = brush.uniform(0.0F, 0.35F);
    const Point toward = brush.light();
    for (int round = brush.whole(0, 1); round > 0; --round) blur(brush, brush.uniform(0.2F, 0.6F));
    const float grain = brush.chance(0.5F) ? brush.uniform(0.01F, 0.03F) : 0.01F;
    brush.wash(Frame{}.at(0.5F, 0.5F), [&](Point p, Color color) {
        const float light = exposure * (1.0F + gradient * dot(p, toward)) * (1.0F - vignette * dot(p, p));
        color = color * cast * light;
        const float gray = brightness(color);
        color = mix(Color{gray, gray, gray}, color, saturation);
        color = mix(Color{0.45F, 0.45F, 0.45F}, color, contrast);
        const float shared = grain * brush.normal();
        return color + Color{shared, shared, shared};
    });
}

/// Paints the whole still life of one class.
inline void paint_still_life(Brush& brush, std::size_t dish) {
    paint_table(brush);
    // The camera: where the plate lies, how large, how turned and how steeply seen.
    const float reach = brush.uniform(0.34F, 0.5F);
    const float steepness = brush.uniform(0.68F, 1.0F);
    const Frame view = Frame{}
                           .at(0.5F + brush.uniform(-0.1F, 0.1F), 0.5F + brush.uniform(-0.1F, 0.1F))
                           .turned(brush.uniform(-0.35F, 0.35F))
                           .scaled(reach, reach * steepness);
    paint_plate(brush, view);
    const int sides = brush.chance(0.6F) ? brush.whole(1, 2) : 0;
    for (int i = 0; i < sides; ++i) {
        const Point p = on_circle(brush.angle()) * brush.uniform(1.0F, 1.5F);
        paint_side(brush, view.at(p.x, p.y).turned(brush.angle()));
    }
    const Point p = brush.in_disc(0.2F);
    dishes[dish].paint(brush, view.at(p.x, p.y).scaled(brush.uniform(0.95F, 1.25F)));
    if (brush.chance(0.2F)) paint_obstacle(brush, view);
    develop(brush);
}

}  // namespace still_life
