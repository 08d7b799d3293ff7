// SPDX-License-Identifier: MIT
#pragma once

#include "brush.hpp"

/// The eleven dishes. Each function paints one helping, in one of several forms, around the frame's
/// origin; it lies within about one unit of it.
namespace still_life {

constexpr Finish baked{.volume = 0.35F, .edge = 0.4F, .grain = 0.18F, .grain_size = 0.12F};
constexpr Finish glossy{.volume = 0.35F, .edge = 0.35F, .grain = 0.05F, .gloss = 0.7F};
constexpr Finish creamy{.volume = 0.15F, .edge = 0.15F, .grain = 0.04F, .gloss = 0.25F};
constexpr Finish crisp{.volume = 0.35F, .edge = 0.45F, .grain = 0.4F, .grain_size = 0.12F};
constexpr Finish plain{.volume = 0.0F, .edge = 0.1F, .grain = 0.05F};

/// Calls `place(frame)` for `count` helpings spread over the dish, the farthest from the eye first.
template <class Place>
void scatter(Brush& brush, const Frame& frame, int count, float spread, Place place) {
    const float start = brush.angle();
    for (int i = 0; i < count; ++i) {
        const Point p = count == 1 ? brush.in_disc(0.15F)
                                   : on_circle(start + tau * static_cast<float>(i) / static_cast<float>(count)) *
                                             (spread * brush.uniform(0.75F, 1.0F)) +
                                         brush.in_disc(0.08F);
        place(frame.at(p.x, p.y).turned(brush.angle()));
    }
}

/// Small things strewn over the dish: seeds, herbs, crumbs.
inline void sprinkle(Brush& brush, const Frame& frame, int count, float spread, float size,
                     std::initializer_list<std::uint32_t> colors) {
    for (int i = 0; i < count; ++i) {
        const Point p = brush.in_disc(spread);
        brush.bar(frame.at(p.x, p.y).turned(brush.angle()), size, size * 0.45F, size * 0.4F, brush.pick(colors), plain);
    }
}

/// A bowl seen from above with what it is filled with; `radius` is its outer rim.
inline void filled_bowl(Brush& brush, const Frame& frame, float radius, Color bowl, Color filling,
                        const Finish& surface) {
    brush.shadow(frame, radius * 1.15F, radius * 1.15F, 0.5F);
    brush.disc(frame, radius, bowl, {.volume = 0.25F, .edge = 0.2F, .grain = 0.02F, .gloss = 0.15F});
    brush.disc(frame, radius * 0.9F, bowl * 0.6F, {.volume = -0.3F, .edge = 0.0F, .grain = 0.02F});
    brush.disc(frame, radius * 0.82F, filling, surface);
}

inline Color bowl_color(Brush& brush) {
    return brush.pick({0xf2eee4, 0xe9e4da, 0x3b3f46, 0x7a3b2e, 0x365a7a, 0xd9b98a, 0x8f9a86, 0x20242a});
}

inline void bread(Brush& brush, const Frame& frame) {
    const Color crust = brush.pick({0xa8642a, 0x8a4b1f, 0xc08040, 0xb5763a});
    const Color crumb = brush.pick({0xf0dcb0, 0xe6cc98, 0xd8b988});
    switch (brush.whole(0, 4)) {
        case 0:  // slices
            scatter(brush, frame, brush.whole(1, 3), 0.4F, [&](const Frame& f) {
                const auto slice = [](Point p, float shrink) {
                    const float top =
                        std::min(circle(p - Point{-0.24F, -0.3F}, 0.28F), circle(p - Point{0.24F, -0.3F}, 0.28F));
                    return std::min(box(p - Point{0.0F, 0.05F}, 0.45F, 0.45F, 0.1F), top) + shrink;
                };
                brush.shadow(f, 0.55F, 0.55F, 0.5F);
                brush.fill(f, 0.85F, crust, baked, [=](Point p) { return slice(p, 0.0F); });
                brush.fill(f, 0.85F, crumb, {.volume = 0.08F, .edge = 0.15F, .grain = 0.25F, .grain_size = 0.06F},
                           [=](Point p) { return slice(p, 0.07F); });
            });
            break;
        case 1: {  // baguette
            const Frame f = frame.turned(brush.angle());
            const float half = brush.uniform(0.6F, 0.85F);
            const float width = brush.uniform(0.2F, 0.3F);
            brush.shadow(f, half + width, width * 1.3F, 0.5F);
            brush.bar(f, half + width, width, width, crust, baked);
            const int cuts = brush.whole(3, 6);
            for (int i = 0; i < cuts; ++i) {
                const float x = half * (2.0F * (static_cast<float>(i) + 0.5F) / static_cast<float>(cuts) - 1.0F);
                brush.fill(f.at(x, 0.0F).turned(0.9F), width, crumb * 0.92F, baked,
                           [=](Point p) { return ellipse(p, width * 0.75F, width * 0.2F); });
            }
            break;
        }
        case 2:  // rolls
            scatter(brush, frame, brush.whole(1, 4), 0.48F, [&](const Frame& f) {
                const float radius = brush.uniform(0.34F, 0.44F);
                brush.shadow(f, radius, radius, 0.5F);
                brush.blob(f, radius, 0.04F, brush.vary(crust, 0.04F),
                           {.volume = 0.4F, .edge = 0.45F, .grain = 0.08F, .gloss = 0.45F});
                sprinkle(brush, f, brush.whole(0, 14), radius * 0.7F, 0.03F, {0xf4e6c0, 0xfff4d8});
            });
            break;
        case 3: {  // country loaf
            brush.shadow(frame, 0.72F, 0.72F, 0.5F);
            Finish floured = baked;
            floured.patches = 0.45F;
            floured.second = crumb;
            brush.blob(frame, 0.7F, 0.04F, crust, floured);
            const int cuts = brush.whole(2, 4);
            for (int i = 0; i < cuts; ++i)
                brush.bar(frame.turned(0.4F + static_cast<float>(i) * tau / 2.0F / static_cast<float>(cuts)), 0.5F,
                          0.04F, 0.04F, crumb, baked);
            break;
        }
        default:  // croissants
            scatter(brush, frame, brush.whole(1, 2), 0.4F, [&](const Frame& f) {
                const Frame g = f.at(-0.35F, 0.0F).scaled(0.52F);
                brush.shadow(f, 0.4F, 0.6F, 0.4F);
                brush.fill(g, 1.5F, crust, baked, [](Point p) {
                    return arc(p, 1.5F, 0.42F - 0.22F * std::abs(std::atan2(p.y, p.x)) / 1.5F, 0.0F);
                });
                for (int i = -2; i <= 2; ++i) {
                    const float a = 0.52F * static_cast<float>(i);
                    brush.bar(g.turned(a).at(1.0F, 0.0F).turned(0.25F), 0.3F - 0.05F * static_cast<float>(std::abs(i)),
                              0.035F, 0.03F, crust * 0.6F, plain);
                }
            });
    }
}

inline void dairy_product(Brush& brush, const Frame& frame) {
    const Color white = brush.pick({0xf8f4e8, 0xf2ecd8, 0xfbf8f2});
    const Color yellow = brush.pick({0xf0c850, 0xf2d878, 0xe8b040, 0xf6e2a0});
    switch (brush.whole(0, 4)) {
        case 0: {  // cheese wedge with holes
            const Frame f = frame.turned(brush.uniform(-0.5F, 0.5F));
            brush.shadow(f, 0.8F, 0.6F, 0.5F);
            const Point side[] = {{-0.75F, 0.05F}, {0.8F, 0.15F}, {0.8F, 0.55F}, {-0.75F, 0.5F}};
            const Point top[] = {{-0.75F, 0.05F}, {0.55F, -0.5F}, {0.8F, 0.15F}};
            brush.fill(f, 1.0F, yellow * 0.85F, creamy, [=](Point p) { return polygon(p, side, 0.02F); });
            brush.fill(f, 1.0F, yellow, creamy, [=](Point p) { return polygon(p, top, 0.02F); });
            const int holes = brush.whole(4, 9);
            for (int i = 0; i < holes; ++i) {
                const float x = brush.uniform(-0.55F, 0.7F);
                const float r = brush.uniform(0.04F, 0.1F);
                brush.disc(f.at(x, brush.uniform(0.2F, 0.42F)), r, yellow * 0.6F, {.volume = -0.4F, .edge = 0.2F});
            }
            break;
        }
        case 1:  // glasses of milk
            scatter(brush, frame, brush.whole(1, 2), 0.42F, [&](const Frame& at) {
                const Frame f{Point{frame.across}, Point{frame.down}, at.origin};
                const float width = brush.uniform(0.26F, 0.36F);
                const float height = brush.uniform(0.6F, 0.8F);
                brush.shadow(f.at(0.0F, height * 0.9F), width * 1.3F, width * 0.6F, 0.5F);
                const Finish glass{.volume = 0.2F, .edge = 0.35F, .grain = 0.0F, .gloss = 0.3F, .opacity = 0.55F};
                brush.bar(f, width, height, 0.1F, {0.8F, 0.88F, 0.9F}, glass);
                brush.bar(f.at(0.0F, height * 0.2F), width * 0.88F, height * 0.76F, 0.08F, white, creamy);
                brush.fill(f.at(0.0F, -height * 0.52F), width, white * 0.9F, creamy,
                           [=](Point p) { return ellipse(p, width * 0.88F, width * 0.25F); });
                brush.bar(f.at(-width * 0.55F, 0.0F), width * 0.07F, height * 0.7F, 0.03F, {1, 1, 1},
                          {.volume = 0.0F, .edge = 0.0F, .grain = 0.0F, .opacity = 0.5F});
            });
            break;
        case 2: {  // soft cheese with a piece cut out
            const Frame f = frame.turned(brush.angle());
            const float gap = brush.uniform(0.25F, 0.6F);
            brush.shadow(f, 0.75F, 0.75F, 0.5F);
            brush.fill(f, 0.72F, yellow, creamy, [=](Point p) {
                const float cut = std::abs(std::atan2(p.y, p.x)) - gap;
                return std::max(circle(p, 0.72F), -cut * length(p));
            });
            brush.fill(f, 0.72F, white, {.volume = 0.12F, .edge = 0.1F, .grain = 0.12F, .grain_size = 0.2F},
                       [=](Point p) {
                           const float cut = std::abs(std::atan2(p.y, p.x)) - gap - 0.12F;
                           return std::max(circle(p, 0.7F), -cut * length(p));
                       });
            break;
        }
        case 3: {  // butter
            const Frame f = frame.turned(brush.uniform(-0.7F, 0.7F));
            brush.shadow(f, 0.75F, 0.5F, 0.5F);
            const Color butter = mix(yellow, white, 0.4F);
            brush.bar(f.at(0.0F, 0.16F), 0.68F, 0.3F, 0.05F, butter * 0.78F, creamy);
            brush.bar(f.at(0.0F, -0.1F), 0.68F, 0.28F, 0.05F, butter, creamy);
            const int slices = brush.whole(1, 3);
            for (int i = 0; i < slices; ++i)
                brush.bar(f.at(0.2F + 0.16F * static_cast<float>(i), 0.0F), 0.012F, 0.4F, 0.01F, butter * 0.6F, plain);
            break;
        }
        default: {  // yoghurt
            filled_bowl(brush, frame, 0.8F, bowl_color(brush), white, creamy);
            for (int i = 0; i < 3; ++i)
                brush.fill(frame.turned(brush.angle()).scaled(0.18F + 0.14F * static_cast<float>(i)), 1.3F,
                           white * 0.86F, plain, [](Point p) { return arc(p, 1.9F, 0.1F, 0.8F); });
            const Color berry = brush.pick({0x7a1f3a, 0x3a3f7a, 0xc8283c});
            scatter(brush, frame, brush.whole(0, 4), 0.3F,
                    [&](const Frame& f) { brush.disc(f, 0.12F, berry, glossy); });
        }
    }
}

inline void dessert(Brush& brush, const Frame& frame) {
    const Color cream = brush.pick({0xfaf0e0, 0xf6d8dc, 0xe8d0b0, 0xfff6e8});
    const Color sponge = brush.pick({0x5a3018, 0xe0b060, 0x7a4a28, 0xd08878, 0xc8b058});
    const Color red = brush.pick({0xc81e32, 0xa8142a, 0xe03c50});
    switch (brush.whole(0, 5)) {
        case 0: {  // a slice of layer cake, from the side
            const Frame f = frame.turned(brush.uniform(-0.3F, 0.3F));
            const int layers = brush.whole(2, 3);
            const float thick = 0.9F / static_cast<float>(layers);
            brush.shadow(f.at(0.0F, 0.4F), 0.75F, 0.25F, 0.6F);
            for (int i = 0; i < layers; ++i) {
                const float y = 0.5F - thick * (static_cast<float>(i) + 0.5F);
                brush.bar(f.at(0.0F, y), 0.62F, thick * 0.5F, 0.02F, sponge, baked);
                brush.bar(f.at(0.0F, y - thick * 0.4F), 0.62F, thick * 0.14F, 0.02F, cream, creamy);
            }
            brush.bar(f.at(0.0F, -0.46F), 0.65F, 0.1F, 0.08F, cream, creamy);
            brush.disc(f.at(brush.uniform(-0.3F, 0.3F), -0.62F), 0.15F, red, glossy);
            break;
        }
        case 1:  // doughnuts
            scatter(brush, frame, brush.whole(1, 3), 0.46F, [&](const Frame& f) {
                const Color glaze = brush.pick({0xf090b0, 0x4a2412, 0xf8f0e8, 0xe8c878, 0x9ad0c0});
                brush.shadow(f, 0.48F, 0.48F, 0.5F);
                brush.fill(f, 0.46F, hex(0xc88a48), baked, [](Point p) { return std::abs(circle(p, 0.29F)) - 0.17F; });
                brush.fill(f, 0.46F, glaze, glossy, [](Point p) { return std::abs(circle(p, 0.29F)) - 0.135F; });
                for (int i = brush.whole(0, 18); i > 0; --i) {
                    const Point p = on_circle(brush.angle()) * brush.uniform(0.2F, 0.38F);
                    brush.bar(f.at(p.x, p.y).turned(brush.angle()), 0.04F, 0.015F, 0.01F,
                              brush.pick({0xf04040, 0x40a0f0, 0xf8e040, 0x60d060, 0xffffff}), plain);
                }
            });
            break;
        case 2: {  // ice cream
            filled_bowl(brush, frame, 0.8F, bowl_color(brush), cream * 0.8F, creamy);
            scatter(brush, frame, brush.whole(2, 3), 0.3F, [&](const Frame& f) {
                const Color scoop = brush.pick({0xf8e8c0, 0xf0a8b8, 0x6a3a20, 0xb8d8a0, 0xf6f0e4});
                brush.blob(f, 0.34F, 0.05F, scoop,
                           {.volume = 0.35F, .edge = 0.35F, .grain = 0.2F, .grain_size = 0.06F});
            });
            if (brush.chance(0.6F))
                brush.bar(frame.at(0.3F, -0.4F).turned(-0.8F), 0.4F, 0.07F, 0.02F, hex(0xd8a050), baked);
            break;
        }
        case 3:  // cupcakes
            scatter(brush, frame, brush.whole(1, 2), 0.42F, [&](const Frame& at) {
                const Frame f{frame.across, frame.down, at.origin};
                const Color icing = brush.pick({0xf090b0, 0x5a2c16, 0xfaf4ec, 0x90c8e0, 0xc8a0e0});
                const Point cup[] = {{-0.4F, 0.05F}, {0.4F, 0.05F}, {0.28F, 0.6F}, {-0.28F, 0.6F}};
                brush.shadow(f.at(0.0F, 0.5F), 0.4F, 0.2F, 0.5F);
                brush.fill(f, 0.75F, sponge, baked, [=](Point p) { return polygon(p, cup, 0.02F); });
                for (int i = -2; i <= 2; ++i)
                    brush.bar(f.at(0.14F * static_cast<float>(i), 0.33F), 0.015F, 0.25F, 0.01F, sponge * 0.6F, plain);
                for (int i = 0; i < 3; ++i) {
                    const float r = 0.42F - 0.12F * static_cast<float>(i);
                    brush.fill(f.at(0.0F, 0.0F - 0.2F * static_cast<float>(i)), r, icing, creamy,
                               [=](Point p) { return ellipse(p, r, 0.17F); });
                }
                if (brush.chance(0.6F)) brush.disc(f.at(0.0F, -0.58F), 0.1F, red, glossy);
            });
            break;
        case 4:  // caramel custard
            brush.shadow(frame, 0.65F, 0.65F, 0.5F);
            brush.blob(frame, 0.75F, 0.05F, hex(0x8a4a10),
                       {.volume = 0.1F, .edge = 0.2F, .grain = 0.0F, .opacity = 0.7F});
            brush.disc(frame, 0.58F, hex(0xf0c868), creamy);
            brush.disc(frame.at(0.0F, -0.08F), 0.46F, brush.pick({0x7a3a0c, 0x9a5414}), glossy);
            break;
        default: {  // a whole cake from above
            brush.shadow(frame, 0.8F, 0.8F, 0.5F);
            brush.disc(frame.at(0.0F, 0.08F), 0.78F, sponge, baked);
            brush.disc(frame, 0.76F, cream, creamy);
            const int dots = brush.whole(7, 12);
            const Color dot = brush.chance(0.5F) ? red : cream * 0.95F;
            for (int i = 0; i < dots; ++i) {
                const Point p = on_circle(tau * static_cast<float>(i) / static_cast<float>(dots)) * 0.58F;
                brush.disc(frame.at(p.x, p.y), 0.11F, dot, glossy);
            }
            if (brush.chance(0.5F)) brush.disc(frame, 0.3F, sponge, baked);
        }
    }
}

inline void yolk_and_white(Brush& brush, const Frame& f, float radius) {
    brush.blob(f, radius, 0.09F, brush.pick({0xfdfaf2, 0xf6f0e2}), {.volume = 0.08F, .edge = 0.2F, .grain = 0.04F});
    const Point p = brush.in_disc(radius * 0.25F);
    brush.disc(f.at(p.x, p.y), radius * brush.uniform(0.36F, 0.46F), brush.pick({0xf8b020, 0xf0901a, 0xf8c838}),
               glossy);
}

inline void egg_half(Brush& brush, const Frame& f) {
    brush.shadow(f, 0.36F, 0.3F, 0.4F);
    brush.fill(f, 0.4F, hex(0xfaf6ec), creamy, [](Point p) { return ellipse(p, 0.38F, 0.29F + 0.08F * p.x); });
    brush.disc(f.at(0.05F, 0.0F), 0.18F, brush.pick({0xf4b428, 0xe8a038, 0xf8d060}), creamy);
}

inline void egg(Brush& brush, const Frame& frame) {
    const Color yellow = brush.pick({0xf6d050, 0xf2c040, 0xf8dc78});
    switch (brush.whole(0, 4)) {
        case 0:  // fried
            scatter(brush, frame, brush.whole(1, 3), 0.42F, [&](const Frame& f) {
                yolk_and_white(brush, f, brush.uniform(0.42F, 0.55F));
                sprinkle(brush, f, brush.whole(0, 8), 0.4F, 0.02F, {0x202020, 0x305020});
            });
            break;
        case 1:  // boiled, in halves
            scatter(brush, frame, brush.whole(2, 5), 0.5F, [&](const Frame& f) { egg_half(brush, f); });
            break;
        case 2:  // whole
            scatter(brush, frame, brush.whole(2, 5), 0.42F, [&](const Frame& f) {
                const Color shell = brush.pick({0xf6ece0, 0xd8a478, 0xc88c60, 0xfaf6f0});
                brush.shadow(f, 0.38F, 0.3F, 0.5F);
                brush.fill(f, 0.42F, shell,
                           {.volume = 0.4F, .edge = 0.3F, .grain = 0.04F, .grain_size = 0.03F, .gloss = 0.3F},
                           [](Point p) { return ellipse(p, 0.4F, 0.3F - 0.06F * p.x); });
            });
            break;
        case 3: {  // omelette
            const Frame f = frame.turned(brush.angle());
            Finish browned = baked;
            browned.patches = 0.35F;
            browned.second = hex(0xc08030);
            brush.shadow(f, 0.8F, 0.5F, 0.5F);
            brush.fill(f.at(0.0F, 0.3F), 0.9F, yellow, browned,
                       [](Point p) { return std::max(ellipse(p, 0.85F, 0.75F), p.y - 0.08F); });
            brush.bar(f.at(0.0F, 0.34F), 0.72F, 0.05F, 0.05F, yellow * 0.75F, plain);
            sprinkle(brush, f, brush.whole(0, 14), 0.45F, 0.03F, {0x3a7a28, 0x5a9a3a});
            break;
        }
        default:  // scrambled
            for (int i = 0; i < 34; ++i) {
                const Point p = brush.in_disc(0.6F);
                brush.blob(frame.at(p.x, p.y), brush.uniform(0.1F, 0.2F), 0.15F, brush.vary(yellow, 0.06F), creamy);
            }
            sprinkle(brush, frame, brush.whole(0, 14), 0.55F, 0.025F, {0x3a7a28, 0x202020});
    }
}

inline void fried_food(Brush& brush, const Frame& frame) {
    const Color golden = brush.pick({0xd89030, 0xc87820, 0xe0a848, 0xb86a1c});
    switch (brush.whole(0, 4)) {
        case 0:  // chips
            brush.shadow(frame, 0.75F, 0.6F, 0.4F);
            for (int i = brush.whole(22, 38); i > 0; --i) {
                const Point p = brush.in_disc(0.5F);
                brush.bar(frame.at(p.x, p.y).turned(brush.angle()), brush.uniform(0.22F, 0.4F), 0.055F, 0.02F,
                          brush.vary(mix(golden, hex(0xf4d070), 0.6F), 0.06F),
                          {.volume = 0.3F, .edge = 0.5F, .grain = 0.12F, .grain_size = 0.08F});
            }
            break;
        case 1:  // nuggets
            scatter(brush, frame, brush.whole(3, 6), 0.5F, [&](const Frame& f) {
                brush.shadow(f, 0.32F, 0.28F, 0.5F);
                brush.blob(f.scaled(1.0F, 0.8F), brush.uniform(0.28F, 0.36F), 0.1F, brush.vary(golden, 0.04F), crisp);
            });
            break;
        case 2:  // onion rings
            scatter(brush, frame, brush.whole(3, 6), 0.42F, [&](const Frame& f) {
                const float r = brush.uniform(0.22F, 0.32F);
                brush.fill(f, r + 0.14F, brush.vary(golden, 0.05F), crisp,
                           [=](Point p) { return std::abs(ellipse(p, r, r * 0.85F)) - 0.085F; });
            });
            break;
        case 3:  // drumsticks
            scatter(brush, frame, brush.whole(1, 3), 0.35F, [&](const Frame& f) {
                brush.shadow(f, 0.6F, 0.35F, 0.4F);
                brush.fill(f, 0.8F, hex(0xf0e4d0), creamy, [](Point p) {
                    return std::min(
                        capsule(p, {0.2F, 0.0F}, {0.66F, 0.0F}, 0.06F),
                        std::min(circle(p - Point{0.68F, -0.06F}, 0.08F), circle(p - Point{0.68F, 0.06F}, 0.08F)));
                });
                brush.fill(f, 0.62F, brush.vary(golden, 0.05F), crisp, [](Point p) {
                    return std::min(circle(p - Point{-0.22F, 0.0F}, 0.33F),
                                    capsule(p, {-0.2F, 0.0F}, {0.34F, 0.0F}, 0.16F));
                });
            });
            break;
        default:  // tempura and spring rolls
            scatter(brush, frame, brush.whole(2, 5), 0.32F, [&](const Frame& f) {
                brush.shadow(f, 0.5F, 0.2F, 0.4F);
                if (brush.chance(0.4F))
                    brush.fill(f.at(0.52F, 0.0F), 0.2F, hex(0xe86a48), glossy,
                               [](Point p) { return ellipse(p, 0.16F, 0.1F); });
                brush.bar(f, 0.5F, brush.uniform(0.11F, 0.17F), 0.11F, brush.vary(golden, 0.05F), crisp);
            });
    }
    if (brush.chance(0.3F))
        brush.blob(frame.at(brush.uniform(-0.6F, 0.6F), 0.6F), 0.2F, 0.06F, brush.pick({0xa81818, 0xf4ead0, 0xd8a020}),
                   glossy);
}

inline void meat(Brush& brush, const Frame& frame) {
    const Color brown = brush.pick({0x7a3a20, 0x5c2a18, 0x8c4a30, 0xa05a44});
    switch (brush.whole(0, 5)) {
        case 0: {  // steak
            const Frame f = frame.turned(brush.angle()).scaled(1.0F, brush.uniform(0.65F, 0.85F));
            Finish marbled{.volume = 0.2F,
                           .edge = 0.3F,
                           .grain = 0.2F,
                           .grain_size = 0.1F,
                           .gloss = 0.15F,
                           .patches = 0.3F,
                           .second = brush.pick({0x9a4a3a, 0xb06050})};
            brush.shadow(f, 0.8F, 0.8F, 0.5F);
            brush.blob(f, 0.72F, 0.09F, mix(brown, hex(0xe8d0b0), 0.5F), creamy);
            brush.blob(f.scaled(0.93F), 0.7F, 0.07F, brown, marbled);
            if (brush.chance(0.7F))
                for (int i = -2; i <= 2; ++i)
                    brush.bar(f.turned(0.7F).at(0.0F, 0.22F * static_cast<float>(i)),
                              0.5F - 0.05F * static_cast<float>(i * i), 0.035F, 0.03F, brown * 0.35F, plain);
            break;
        }
        case 1:  // sausages
            scatter(brush, frame, brush.whole(2, 4), 0.3F, [&](const Frame& f) {
                const Color skin = brush.pick({0x9a4020, 0xb85a30, 0x7a3018, 0xc07850});
                brush.shadow(f, 0.62F, 0.2F, 0.5F);
                brush.fill(f.at(-0.9F, 0.0F), 1.9F, skin, {.volume = 0.1F, .edge = 0.5F, .grain = 0.1F, .gloss = 0.0F},
                           [](Point p) { return arc(p, 0.52F, 0.15F, 0.0F); });
                for (int i = -1; i <= 1; ++i)
                    brush.bar(f.at(0.02F, 0.25F * static_cast<float>(i)).turned(0.5F), 0.1F, 0.02F, 0.02F, skin * 0.5F,
                              plain);
            });
            break;
        case 2: {  // meatballs, often in sauce
            if (brush.chance(0.6F)) brush.blob(frame, 0.75F, 0.06F, brush.pick({0xa82c14, 0x7a3c18, 0x8a2010}), glossy);
            scatter(brush, frame, brush.whole(4, 7), 0.45F, [&](const Frame& f) {
                brush.shadow(f, 0.22F, 0.22F, 0.5F);
                brush.blob(f, 0.22F, 0.04F, brush.vary(brown, 0.04F), crisp);
            });
            break;
        }
        case 3:  // ham and salami
            scatter(brush, frame, brush.whole(3, 6), 0.42F, [&](const Frame& f) {
                const Color pink = brush.pick({0xe89a94, 0xc85a52, 0xd87c74, 0xa83c38});
                brush.disc(f, 0.36F, mix(pink, hex(0xf4e4d8), 0.6F), plain);
                Finish fat{.volume = 0.08F,
                           .edge = 0.1F,
                           .grain = 0.1F,
                           .grain_size = 0.06F,
                           .patches = brush.uniform(0.1F, 0.4F),
                           .second = hex(0xf2d8cc)};
                brush.disc(f, 0.33F, pink, fat);
            });
            break;
        case 4:  // skewers
            for (int i = brush.whole(1, 3); i > 0; --i) {
                const Frame f = frame.at(0.0F, 0.4F * static_cast<float>(i) - 0.7F).turned(brush.uniform(-0.3F, 0.3F));
                brush.bar(f, 0.95F, 0.025F, 0.02F, hex(0xc8a070), plain);
                for (int piece = -2; piece <= 2; ++piece)
                    brush.bar(f.at(0.28F * static_cast<float>(piece), 0.0F).turned(brush.uniform(-0.3F, 0.3F)), 0.13F,
                              0.16F, 0.05F, brush.vary(brown, 0.05F), crisp);
            }
            break;
        default: {  // a roast, partly carved
            const Frame f = frame.turned(brush.uniform(-0.6F, 0.6F));
            brush.shadow(f, 0.85F, 0.5F, 0.5F);
            brush.bar(f.at(-0.15F, 0.0F), 0.62F, 0.4F, 0.36F, brown, crisp);
            const Color rare = brush.pick({0xc86a5a, 0xb0503c, 0xd09a80});
            for (int i = 0; i < 3; ++i) {
                const Frame slice = f.at(0.35F + 0.18F * static_cast<float>(i), 0.04F * static_cast<float>(i));
                brush.fill(slice, 0.45F, brown * 0.8F, baked, [](Point p) { return ellipse(p, 0.24F, 0.38F); });
                brush.fill(slice, 0.4F, rare, baked, [](Point p) { return ellipse(p, 0.19F, 0.33F); });
            }
        }
    }
}

inline void noodles_pasta(Brush& brush, const Frame& frame) {
    const Color dough = brush.pick({0xf0d488, 0xe8c468, 0xf4e0a8, 0xe0b850});
    const Color red = brush.pick({0xb83018, 0xa02010, 0xd05028});
    switch (brush.whole(0, 4)) {
        case 0:    // spaghetti with sauce
        case 1: {  // ribbons, often with pesto
            const bool ribbons = brush.chance(0.5F);
            const Color tint = brush.chance(0.3F) ? mix(dough, hex(0x6a9a30), 0.45F) : dough;
            brush.shadow(frame, 0.7F, 0.7F, 0.5F);
            brush.disc(frame, 0.6F, tint * 0.6F, baked);
            for (int i = brush.whole(26, 36); i > 0; --i)
                brush.strand(frame, 0.68F, ribbons ? 0.06F : 0.032F, 9, 0.7F, brush.vary(tint, 0.05F));
            if (brush.chance(0.6F)) {
                Finish chunky = glossy;
                chunky.grain = 0.35F;
                chunky.gloss = 0.2F;
                brush.blob(frame, brush.uniform(0.22F, 0.36F), 0.12F, red, chunky);
            }
            sprinkle(brush, frame, brush.whole(0, 14), 0.4F, 0.03F, {0x3a7a28, 0xf8f0d8});
            break;
        }
        case 2: {  // noodle soup
            filled_bowl(brush, frame, 0.92F, bowl_color(brush), brush.pick({0xb07838, 0xc89a58, 0x8a5428, 0xd8b070}),
                        glossy);
            for (int i = brush.whole(16, 24); i > 0; --i)
                brush.strand(frame, 0.62F, 0.035F, 9, 0.5F, brush.vary(dough, 0.05F));
            if (brush.chance(0.5F)) egg_half(brush, frame.at(0.3F, -0.25F).turned(brush.angle()));
            sprinkle(brush, frame, brush.whole(6, 20), 0.6F, 0.04F, {0x4a8a30, 0x6aa848});
            break;
        }
        case 3:  // penne
            brush.shadow(frame, 0.7F, 0.7F, 0.4F);
            if (brush.chance(0.6F)) brush.blob(frame, 0.66F, 0.06F, red, glossy);
            for (int i = brush.whole(16, 26); i > 0; --i) {
                const Point p = brush.in_disc(0.52F);
                const Frame f = frame.at(p.x, p.y).turned(brush.angle());
                const Color tint = brush.vary(brush.chance(0.3F) ? mix(dough, red, 0.3F) : dough, 0.05F);
                brush.bar(f, 0.2F, 0.075F, 0.02F, tint, {.volume = 0.2F, .edge = 0.5F, .grain = 0.05F});
                brush.bar(f, 0.19F, 0.012F, 0.01F, tint * 0.8F, plain);
                brush.fill(f.at(0.19F, 0.0F), 0.08F, tint * 0.35F, plain,
                           [](Point q) { return ellipse(q, 0.035F, 0.055F); });
            }
            break;
        default:  // bow ties and shells
            brush.shadow(frame, 0.7F, 0.7F, 0.4F);
            for (int i = brush.whole(12, 20); i > 0; --i) {
                const Point p = brush.in_disc(0.52F);
                const Color tint = brush.vary(dough, 0.06F);
                const Frame f = frame.at(p.x, p.y).turned(brush.angle());
                brush.fill(f, 0.24F, tint, {.volume = 0.2F, .edge = 0.4F, .grain = 0.1F}, [](Point q) {
                    return std::max(std::abs(q.x) - 0.2F, std::abs(q.y) - 0.04F - 0.5F * std::abs(q.x));
                });
                brush.bar(f, 0.02F, 0.05F, 0.01F, tint * 0.6F, plain);
            }
            sprinkle(brush, frame, brush.whole(4, 16), 0.55F, 0.035F, {0x3a7a28, 0xb83018, 0xf8f0d8});
    }
}

inline void rice_grains(Brush& brush, const Frame& frame, float spread, int count, Color color) {
    const Finish grain{.volume = 0.2F, .edge = 0.35F, .grain = 0.0F};
    for (int i = 0; i < count; ++i) {
        const Point p = brush.in_disc(spread);
        brush.bar(frame.at(p.x, p.y).turned(brush.angle()), 0.06F, 0.024F, 0.024F, brush.vary(color, 0.05F), grain);
    }
}

inline void rice(Brush& brush, const Frame& frame) {
    const Color white = brush.pick({0xf6f2e8, 0xeee6d4, 0xfbf9f4});
    const Finish mound{.volume = 0.25F, .edge = 0.35F, .grain = 0.3F, .grain_size = 0.05F};
    switch (brush.whole(0, 4)) {
        case 0:  // plain, often in a bowl
            if (brush.chance(0.6F)) filled_bowl(brush, frame, 0.88F, bowl_color(brush), white * 0.8F, creamy);
            brush.blob(frame, 0.62F, 0.04F, white * 0.85F, mound);
            rice_grains(brush, frame, 0.62F, 130, white);
            sprinkle(brush, frame, brush.whole(0, 8), 0.3F, 0.03F, {0x202020, 0x3a7a28});
            break;
        case 1: {  // fried with vegetables
            const Color tint = mix(white, hex(0xc88c3c), brush.uniform(0.2F, 0.7F));
            brush.shadow(frame, 0.7F, 0.7F, 0.4F);
            brush.blob(frame, 0.66F, 0.06F, tint * 0.8F, mound);
            rice_grains(brush, frame, 0.64F, 110, tint);
            for (int i = brush.whole(10, 24); i > 0; --i) {
                const Point p = brush.in_disc(0.58F);
                brush.bar(frame.at(p.x, p.y).turned(brush.angle()), 0.05F, 0.05F, 0.03F,
                          brush.pick({0x5aa838, 0xe8842a, 0xf4d050, 0xd86a60}), plain);
            }
            break;
        }
        case 2:  // rice balls wrapped in seaweed
            scatter(brush, frame, brush.whole(1, 3), 0.44F, [&](const Frame& at) {
                const Frame f = Frame{frame.across, frame.down, at.origin}.turned(brush.uniform(-0.5F, 0.5F));
                const Point corners[] = {{0.0F, -0.36F}, {0.38F, 0.3F}, {-0.38F, 0.3F}};
                brush.shadow(f, 0.45F, 0.45F, 0.5F);
                brush.fill(f, 0.6F, white, mound, [=](Point p) { return polygon(p, corners, 0.1F); });
                rice_grains(brush, f, 0.28F, 22, white);
                brush.bar(f.at(0.0F, 0.27F), 0.2F, 0.14F, 0.02F, hex(0x1c2a20), baked);
            });
            break;
        case 3: {  // rice with curry
            brush.shadow(frame, 0.75F, 0.75F, 0.4F);
            const Frame f = frame.turned(brush.angle());
            brush.blob(f.at(0.22F, 0.0F), 0.56F, 0.06F, brush.pick({0x8a5418, 0xb87820, 0x6a3a14, 0xa03c18}),
                       {.volume = 0.1F, .edge = 0.3F, .grain = 0.2F, .grain_size = 0.2F, .gloss = 0.4F});
            for (int i = brush.whole(3, 7); i > 0; --i) {
                const Point p = brush.in_disc(0.3F) + Point{0.35F, 0.0F};
                brush.blob(f.at(p.x, p.y), 0.1F, 0.1F, brush.pick({0xe8842a, 0xe0c060, 0x7a3a20}), baked);
            }
            brush.blob(f.at(-0.3F, 0.0F), 0.44F, 0.06F, white * 0.85F, mound);
            rice_grains(brush, f.at(-0.3F, 0.0F), 0.42F, 80, white);
            break;
        }
        default:  // rolls
            scatter(brush, frame, brush.whole(3, 6), 0.5F, [&](const Frame& f) {
                brush.shadow(f, 0.28F, 0.28F, 0.5F);
                brush.disc(f, 0.27F, hex(0x1c2a20), baked);
                brush.disc(f, 0.23F, white, mound);
                brush.bar(f, 0.09F, 0.08F, 0.03F, brush.pick({0xf08050, 0x5aa838, 0xc83048, 0xf4d050}), plain);
            });
    }
}

inline void seafood(Brush& brush, const Frame& frame) {
    switch (brush.whole(0, 5)) {
        case 0: {  // a whole fish
            const Frame f = frame.turned(brush.uniform(-0.5F, 0.5F)).scaled(brush.chance(0.5F) ? 1.0F : -1.0F, 1.0F);
            const Color skin = brush.pick({0x8a98a8, 0xa8a090, 0xd06850, 0x6a7a80, 0xb8884a});
            const float belly = brush.uniform(0.24F, 0.36F);
            brush.shadow(f, 0.8F, 0.4F, 0.5F);
            const Point tail[] = {{0.55F, 0.0F}, {0.95F, -0.3F}, {0.85F, 0.0F}};
            const Point other[] = {{0.55F, 0.0F}, {0.85F, 0.0F}, {0.95F, 0.3F}};
            brush.fill(f, 1.0F, skin * 0.8F, baked,
                       [=](Point p) { return std::min(polygon(p, tail, 0.03F), polygon(p, other, 0.03F)); });
            Finish scales{.volume = 0.1F, .edge = 0.4F, .grain = 0.25F, .grain_size = 0.05F, .gloss = 0.4F};
            brush.fill(f, 0.75F, skin, scales, [=](Point p) { return ellipse(p, 0.7F, belly); });
            brush.fill(f.at(-0.05F, belly * 0.5F), 0.5F, mix(skin, hex(0xf4f0e8), 0.6F), creamy,
                       [=](Point p) { return ellipse(p, 0.48F, belly * 0.35F); });
            brush.fill(f.at(-0.36F, 0.0F), 0.3F, skin * 0.5F, plain,
                       [=](Point p) { return std::max(std::abs(circle(p, belly * 0.8F)) - 0.015F, -p.x); });
            brush.disc(f.at(-0.52F, -0.06F), 0.07F, hex(0xf0f0e8), plain);
            brush.disc(f.at(-0.52F, -0.06F), 0.04F, hex(0x101010), plain);
            break;
        }
        case 1: {  // prawns
            const Color pink = brush.pick({0xf09070, 0xe87858, 0xf4b098, 0xd86848});
            scatter(brush, frame, brush.whole(2, 5), 0.42F, [&](const Frame& f) {
                const Frame g = f.at(-0.2F, 0.0F).scaled(0.3F);
                brush.shadow(f, 0.4F, 0.4F, 0.3F);
                brush.fill(g, 1.5F, pink, {.volume = 0.2F, .edge = 0.3F, .grain = 0.05F},
                           [](Point p) { return arc(p, 1.9F, 0.4F, 0.7F); });
                for (int i = -3; i <= 3; ++i)
                    brush.bar(g.turned(0.5F * static_cast<float>(i)).at(1.0F, 0.0F), 0.3F, 0.045F, 0.03F,
                              mix(pink, hex(0xfff4ec), 0.6F), plain);
                brush.blob(g.turned(1.95F).at(1.05F, 0.0F), 0.24F, 0.2F, pink * 0.75F, baked);
            });
            break;
        }
        case 2:  // mussels
            scatter(brush, frame, brush.whole(3, 7), 0.46F, [&](const Frame& f) {
                const Color shell = brush.pick({0x20283a, 0x2a2430, 0x343c50});
                brush.fill(f, 0.4F, shell, {.volume = 0.3F, .edge = 0.3F, .grain = 0.15F, .gloss = 0.4F},
                           [](Point p) { return ellipse(p, 0.36F, 0.2F + 0.1F * p.x); });
                if (brush.chance(0.7F)) {
                    brush.fill(f, 0.36F, hex(0xc8c4cc), creamy,
                               [](Point p) { return ellipse(p, 0.31F, 0.15F + 0.1F * p.x); });
                    brush.blob(f.scaled(1.0F, 0.5F), 0.19F, 0.1F, brush.pick({0xe8a050, 0xe08038, 0xf0c080}), glossy);
                }
            });
            break;
        case 3:  // salmon: fillets and slices
            scatter(brush, frame, brush.whole(1, 4), 0.36F, [&](const Frame& f) {
                const Color flesh = brush.pick({0xf08a58, 0xf4a078, 0xe87048});
                brush.shadow(f, 0.5F, 0.3F, 0.4F);
                brush.bar(f, 0.5F, 0.23F, 0.18F, flesh,
                          {.volume = 0.15F, .edge = 0.25F, .grain = 0.08F, .gloss = 0.2F});
                for (int i = -2; i <= 2; ++i)
                    brush.bar(f.at(0.17F * static_cast<float>(i), 0.0F).turned(1.1F), 0.19F, 0.016F, 0.01F,
                              mix(flesh, hex(0xfff0e4), 0.7F), plain);
            });
            break;
        case 4:  // squid rings
            scatter(brush, frame, brush.whole(3, 6), 0.42F, [&](const Frame& f) {
                const float r = brush.uniform(0.18F, 0.28F);
                brush.fill(f, r + 0.12F, brush.pick({0xf4e8dc, 0xf0d8d0, 0xe8c8c8}), glossy,
                           [=](Point p) { return std::abs(ellipse(p, r, r * 0.8F)) - 0.07F; });
            });
            break;
        default: {  // crab
            const Color shell = brush.pick({0xd04828, 0xe06038, 0xb83820});
            brush.shadow(frame, 0.7F, 0.5F, 0.4F);
            for (const float side : {-1.0F, 1.0F}) {
                const Frame f = frame.scaled(side, 1.0F);
                for (int i = 0; i < 3; ++i) {
                    const float y = 0.05F + 0.16F * static_cast<float>(i);
                    brush.fill(f, 1.0F, shell * 0.85F, baked, [=](Point p) {
                        return std::min(capsule(p, {0.3F, y}, {0.65F, y - 0.08F}, 0.05F),
                                        capsule(p, {0.65F, y - 0.08F}, {0.85F, y + 0.18F}, 0.035F));
                    });
                }
                brush.fill(f, 1.0F, shell, baked,
                           [](Point p) { return capsule(p, {0.35F, -0.15F}, {0.62F, -0.42F}, 0.07F); });
                brush.blob(f.at(0.66F, -0.52F).turned(-0.6F).scaled(1.0F, 0.7F), 0.2F, 0.1F, shell, glossy);
            }
            brush.fill(frame, 0.55F, shell,
                       {.volume = 0.3F, .edge = 0.3F, .grain = 0.2F, .grain_size = 0.08F, .gloss = 0.4F},
                       [](Point p) { return ellipse(p, 0.5F, 0.36F); });
            for (const float x : {-0.14F, 0.14F}) brush.disc(frame.at(x, -0.34F), 0.05F, hex(0x101010), plain);
        }
    }
    if (brush.chance(0.35F)) sprinkle(brush, frame, 10, 0.6F, 0.03F, {0x3a7a28, 0x5a9a3a});
}

inline void soup(Brush& brush, const Frame& frame) {
    const Color broth = brush.pick({0xc84820, 0xe0902c, 0x8aa040, 0xc8a050, 0x8a5428, 0xe8d8a8, 0xa83018, 0xd8b878});
    const Finish liquid{.volume = 0.08F, .edge = 0.2F, .grain = 0.06F, .grain_size = 0.35F, .gloss = 0.35F};
    filled_bowl(brush, frame, brush.uniform(0.85F, 0.95F), bowl_color(brush), broth, liquid);
    switch (brush.whole(0, 3)) {
        case 0: {  // cream soup with a swirl
            const Color cream = mix(broth, hex(0xfff8ec), 0.75F);
            for (int i = 0; i < brush.whole(2, 4); ++i)
                brush.fill(frame.turned(brush.angle()).scaled(0.16F + 0.15F * static_cast<float>(i)), 1.3F, cream,
                           {.volume = 0.0F, .edge = 0.0F, .grain = 0.0F, .opacity = 0.85F},
                           [](Point p) { return arc(p, 2.2F, 0.14F, 0.8F); });
            sprinkle(brush, frame, brush.whole(2, 10), 0.35F, 0.04F, {0x3a7a28, 0x5a9a3a});
            break;
        }
        case 1:  // clear broth with slices
            for (int i = brush.whole(8, 16); i > 0; --i) {
                const Point p = brush.in_disc(0.6F);
                brush.disc(frame.at(p.x, p.y), brush.uniform(0.07F, 0.12F),
                           brush.pick({0xf08a28, 0xf4f0e0, 0x6aa848, 0xf4e0b0}),
                           {.volume = 0.1F, .edge = 0.3F, .grain = 0.05F, .opacity = 0.85F});
            }
            sprinkle(brush, frame, 14, 0.62F, 0.03F, {0x4a8a30, 0x6aa848});
            break;
        case 2:  // stew with chunks
            for (int i = brush.whole(9, 18); i > 0; --i) {
                const Point p = brush.in_disc(0.58F);
                brush.blob(frame.at(p.x, p.y), brush.uniform(0.08F, 0.16F), 0.12F,
                           brush.pick({0x7a3a20, 0xe8842a, 0xe0c880, 0x5a8a38, 0xb83018}), baked);
            }
            break;
        default:  // drops of oil and croutons
            for (int i = brush.whole(10, 22); i > 0; --i) {
                const Point p = brush.in_disc(0.66F);
                brush.disc(frame.at(p.x, p.y), brush.uniform(0.02F, 0.07F), mix(broth, hex(0xfff0a0), 0.4F),
                           {.volume = 0.0F, .edge = 0.35F, .grain = 0.0F, .opacity = 0.7F});
            }
            for (int i = brush.whole(0, 7); i > 0; --i) {
                const Point p = brush.in_disc(0.35F);
                brush.bar(frame.at(p.x, p.y).turned(brush.angle()), 0.09F, 0.09F, 0.02F, hex(0xc8904a), crisp);
            }
    }
    if (brush.chance(0.4F)) {
        const Frame f = frame.turned(brush.angle());
        const Color metal = brush.pick({0xc0c4c8, 0x9a9ea4, 0xb89a6a});
        brush.bar(f.at(0.9F, 0.0F), 0.55F, 0.05F, 0.04F, metal, glossy);
        brush.fill(f.at(0.32F, 0.0F), 0.2F, metal * 0.8F, glossy, [](Point p) { return ellipse(p, 0.18F, 0.12F); });
    }
}

inline void leaf(Brush& brush, const Frame& f, float size) {
    const Color green = brush.pick({0x5a9a30, 0x7ab848, 0x3a7a28, 0x9ac860});
    Finish veined{.volume = 0.2F,
                  .edge = 0.3F,
                  .grain = 0.25F,
                  .grain_size = 0.1F,
                  .patches = 0.3F,
                  .second = mix(green, hex(0xe0f0a0), 0.4F)};
    brush.blob(f.scaled(1.0F, 0.7F), size, 0.16F, green, veined);
    brush.bar(f, size * 0.85F, 0.015F, 0.01F, mix(green, hex(0xf0f8d0), 0.5F), plain);
}

inline void citrus_slice(Brush& brush, const Frame& f, float radius, Color rind) {
    brush.disc(f, radius, rind, plain);
    brush.disc(f, radius * 0.9F, hex(0xfaf4d8), plain);
    for (int i = 0; i < 8; ++i) {
        const Frame wedge = f.turned(tau * static_cast<float>(i) / 8.0F).at(radius * 0.5F, 0.0F);
        brush.fill(wedge, radius * 0.5F, mix(rind, hex(0xfff0b0), 0.25F), creamy,
                   [=](Point p) { return ellipse(p, radius * 0.36F, radius * (0.13F + 0.18F * (p.x / radius))); });
    }
}

inline void vegetable_fruit(Brush& brush, const Frame& frame) {
    switch (brush.whole(0, 8)) {
        case 0:  // apples
            scatter(brush, frame, brush.whole(1, 3), 0.42F, [&](const Frame& f) {
                const Color skin = brush.pick({0xc02020, 0x8ab830, 0xd8c040, 0xd04830});
                Finish blush = glossy;
                blush.patches = 0.3F;
                blush.second = mix(skin, hex(0xf0d060), 0.5F);
                brush.shadow(f, 0.4F, 0.4F, 0.5F);
                brush.blob(f, 0.4F, 0.03F, skin, blush);
                brush.disc(f.at(0.0F, -0.1F), 0.08F, skin * 0.5F, {.volume = 0.0F, .edge = 0.0F, .softness = 0.08F});
                brush.bar(f.at(0.04F, -0.2F).turned(1.2F), 0.12F, 0.025F, 0.02F, hex(0x4a3018), plain);
            });
            break;
        case 1: {  // bananas
            const Frame f = frame.turned(brush.angle()).at(-0.5F, 0.0F);
            const Color skin = brush.pick({0xf4d030, 0xe8c840, 0xd8d050});
            for (int i = brush.whole(1, 3); i > 0; --i) {
                const Frame g = f.at(0.17F * static_cast<float>(i), 0.0F).scaled(0.72F);
                brush.fill(g, 1.5F, skin * (0.8F + 0.07F * static_cast<float>(i)),
                           {.volume = 0.15F, .edge = 0.4F, .grain = 0.08F},
                           [](Point p) { return arc(p, 0.95F, 0.2F - 0.08F * std::abs(std::atan2(p.y, p.x)), 0.0F); });
                for (const float end : {-0.98F, 0.98F})
                    brush.disc(g.turned(end).at(1.0F, 0.0F), 0.09F, hex(0x5a4820), plain);
            }
            break;
        }
        case 2:  // tomatoes
            scatter(brush, frame, brush.whole(2, 6), 0.48F, [&](const Frame& f) {
                const float radius = brush.uniform(0.22F, 0.32F);
                brush.shadow(f, radius, radius, 0.5F);
                brush.blob(f, radius, 0.03F, brush.pick({0xd83020, 0xe84828, 0xc82020, 0xf09030}), glossy);
                for (int i = 0; i < 5; ++i)
                    brush.bar(f.turned(tau * static_cast<float>(i) / 5.0F).at(0.07F, 0.0F), 0.08F, 0.022F, 0.02F,
                              hex(0x3a7a28), plain);
            });
            break;
        case 3:  // carrots
            scatter(brush, frame, brush.whole(2, 4), 0.28F, [&](const Frame& f) {
                const Point corners[] = {{-0.5F, -0.13F}, {0.6F, -0.02F}, {0.6F, 0.02F}, {-0.5F, 0.13F}};
                for (int i = -2; i <= 2; ++i)
                    brush.bar(f.at(-0.5F, 0.0F).turned(0.3F * static_cast<float>(i)).at(-0.2F, 0.0F), 0.18F, 0.03F,
                              0.02F, brush.pick({0x4a9a30, 0x3a7a28}), plain);
                brush.fill(f, 0.75F, brush.pick({0xf08020, 0xe87018, 0xf09838}), baked,
                           [=](Point p) { return polygon(p, corners, 0.05F); });
                for (int i = -2; i <= 2; ++i)
                    brush.bar(f.at(0.2F * static_cast<float>(i), brush.uniform(-0.04F, 0.04F)), 0.01F, 0.05F, 0.01F,
                              hex(0xb05010), plain);
            });
            break;
        case 4:  // broccoli
            scatter(brush, frame, brush.whole(1, 4), 0.42F, [&](const Frame& f) {
                const Color green = brush.pick({0x3a7a28, 0x4a8a30, 0x2e6a30});
                brush.bar(f.at(0.25F, 0.0F), 0.22F, 0.09F, 0.05F, hex(0x9ac070), creamy);
                for (int i = 0; i < 12; ++i) {
                    const Point p = brush.in_disc(0.22F);
                    brush.blob(f.at(p.x - 0.05F, p.y * 1.2F), 0.13F, 0.12F, brush.vary(green, 0.05F),
                               {.volume = 0.4F, .edge = 0.4F, .grain = 0.5F, .grain_size = 0.04F});
                }
            });
            break;
        case 5:  // salad
            for (int i = brush.whole(9, 15); i > 0; --i) {
                const Point p = brush.in_disc(0.5F);
                leaf(brush, frame.at(p.x, p.y).turned(brush.angle()), brush.uniform(0.22F, 0.36F));
            }
            for (int i = brush.whole(2, 7); i > 0; --i) {
                const Point p = brush.in_disc(0.5F);
                brush.disc(frame.at(p.x, p.y), 0.12F, brush.pick({0xd83020, 0xb8d890, 0xf4f0e8, 0x8a2a50}), glossy);
            }
            break;
        case 6: {  // grapes
            const Color skin = brush.pick({0x6a2a5a, 0x9ab848, 0x4a2040, 0x8a3a50});
            for (int row = 0; row < 5; ++row)
                for (int i = 0; i < 5 - row; ++i) {
                    const float x = 0.24F * (static_cast<float>(i) - 0.5F * static_cast<float>(4 - row));
                    brush.disc(frame.at(x, 0.22F * static_cast<float>(row) - 0.45F), 0.15F, brush.vary(skin, 0.05F),
                               glossy);
                }
            brush.bar(frame.at(0.0F, -0.68F).turned(1.4F), 0.16F, 0.03F, 0.02F, hex(0x6a4a20), plain);
            break;
        }
        case 7:  // citrus
            scatter(brush, frame, brush.whole(2, 4), 0.46F, [&](const Frame& f) {
                const Color rind = brush.pick({0xf09020, 0xf0d030, 0x8ac040});
                brush.shadow(f, 0.36F, 0.36F, 0.4F);
                if (brush.chance(0.65F))
                    citrus_slice(brush, f, 0.36F, rind);
                else
                    brush.disc(f, 0.38F, rind,
                               {.volume = 0.4F, .edge = 0.35F, .grain = 0.15F, .grain_size = 0.04F, .gloss = 0.4F});
            });
            break;
        default:  // cucumber
            scatter(brush, frame, brush.whole(4, 8), 0.5F, [&](const Frame& f) {
                const float radius = brush.uniform(0.2F, 0.28F);
                brush.shadow(f, radius, radius, 0.3F);
                brush.disc(f, radius, hex(0x3a7030), plain);
                brush.disc(f, radius * 0.88F, hex(0xc8e0a0), creamy);
                sprinkle(brush, f, 8, radius * 0.5F, 0.025F, {0xe8f0c8, 0xa0c070});
            });
    }
}

}  // namespace still_life
