// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "bantam/base/random.hpp"

/// A small painter: shapes are signed distance functions, filled with a color that takes light,
/// grain and gloss. Everything is drawn in local units; a `Frame` says where they lie.
namespace still_life {

constexpr float tau = 2.0F * std::numbers::pi_v<float>;

struct Point {
    float x = 0.0F;
    float y = 0.0F;
};

constexpr Point operator+(Point a, Point b) { return {a.x + b.x, a.y + b.y}; }
constexpr Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y}; }
constexpr Point operator*(Point a, float factor) { return {a.x * factor, a.y * factor}; }
constexpr float dot(Point a, Point b) { return a.x * b.x + a.y * b.y; }
inline float length(Point a) { return std::sqrt(dot(a, a)); }
inline Point on_circle(float angle) { return {std::cos(angle), std::sin(angle)}; }

/// Red, green, blue; 0 is dark and 1 is bright.
struct Color {
    float r = 0.0F;
    float g = 0.0F;
    float b = 0.0F;
};

constexpr Color operator+(Color a, Color b) { return {a.r + b.r, a.g + b.g, a.b + b.b}; }
constexpr Color operator*(Color a, float factor) { return {a.r * factor, a.g * factor, a.b * factor}; }
constexpr Color operator*(Color a, Color b) { return {a.r * b.r, a.g * b.g, a.b * b.b}; }
constexpr Color mix(Color a, Color b, float share) { return a * (1.0F - share) + b * share; }
constexpr float brightness(Color a) { return 0.3F * a.r + 0.59F * a.g + 0.11F * a.b; }

/// 0xRRGGBB as a color.
constexpr Color hex(std::uint32_t rgb) {
    return {static_cast<float>(rgb >> 16 & 255U) / 255.0F, static_cast<float>(rgb >> 8 & 255U) / 255.0F,
            static_cast<float>(rgb & 255U) / 255.0F};
}

/// 0 below `low`, 1 above `high`, smooth between.
inline float smooth_step(float low, float high, float value) {
    const float t = std::clamp((value - low) / (high - low), 0.0F, 1.0F);
    return t * t * (3.0F - 2.0F * t);
}

/// An affine map from local units to the picture, whose corners are (0, 0) and (1, 1).
struct Frame {
    Point across{1.0F, 0.0F};
    Point down{0.0F, 1.0F};
    Point origin{};

    Frame at(float x, float y) const { return {across, down, to_picture({x, y})}; }
    Frame scaled(float x, float y) const { return {across * x, down * y, origin}; }
    Frame scaled(float factor) const { return scaled(factor, factor); }
    Frame turned(float angle) const {
        const float c = std::cos(angle);
        const float s = std::sin(angle);
        return {across * c + down * s, down * c - across * s, origin};
    }
    Point to_picture(Point p) const { return origin + across * p.x + down * p.y; }
    float determinant() const { return across.x * down.y - across.y * down.x; }
    Point to_local(Point p) const {
        const Point q = p - origin;
        const float d = determinant();
        return {(q.x * down.y - q.y * down.x) / d, (across.x * q.y - across.y * q.x) / d};
    }
};

// Signed distances: negative inside, in local units.

inline float circle(Point p, float radius) { return length(p) - radius; }

/// Approximate, good enough near the edge.
inline float ellipse(Point p, float rx, float ry) { return (length({p.x / rx, p.y / ry}) - 1.0F) * std::min(rx, ry); }

inline float box(Point p, float half_width, float half_height, float rounding) {
    const Point q{std::abs(p.x) - half_width + rounding, std::abs(p.y) - half_height + rounding};
    return length({std::max(q.x, 0.0F), std::max(q.y, 0.0F)}) + std::min(std::max(q.x, q.y), 0.0F) - rounding;
}

inline float capsule(Point p, Point from, Point to, float radius) {
    const Point line = to - from;
    const float along = std::clamp(dot(p - from, line) / dot(line, line), 0.0F, 1.0F);
    return length(p - from - line * along) - radius;
}

/// A convex polygon with its corners in clockwise order (as seen on the picture).
template <std::size_t Corners>
float polygon(Point p, const Point (&corners)[Corners], float rounding) {
    float distance = -1.0e9F;
    for (std::size_t i = 0; i < Corners; ++i) {
        const Point edge = corners[(i + 1) % Corners] - corners[i];
        const Point offset = p - corners[i];
        distance = std::max(distance, (edge.y * offset.x - edge.x * offset.y) / length(edge));
    }
    return distance - rounding;
}

/// A stroke along a circle of radius 1 from angle -half_angle to +half_angle; it thins by `taper`.
inline float arc(Point p, float half_angle, float half_width, float taper) {
    const float angle = std::atan2(p.y, p.x);
    const float nearest = std::clamp(angle, -half_angle, half_angle);
    const float share = (nearest / half_angle + 1.0F) * 0.5F;
    return length(p - on_circle(nearest)) - half_width * (1.0F - taper * share);
}

/// Borrows a distance function for one call, so that `Brush::fill` is compiled once, not per shape.
class Outline {
public:
    template <class Distance>
    Outline(const Distance& distance)
        : distance_{&distance},
          call_{[](const void* borrowed, Point p) { return (*static_cast<const Distance*>(borrowed))(p); }} {}

    float operator()(Point p) const { return call_(distance_, p); }

private:
    const void* distance_;
    float (*call_)(const void*, Point);
};

/// How a surface looks.
struct Finish {
    float volume = 0.3F;       ///< how much darker the side away from the light is
    float edge = 0.3F;         ///< darkening of the rim
    float grain = 0.12F;       ///< strength of the surface noise
    float grain_size = 0.15F;  ///< its size in local units
    float gloss = 0.0F;        ///< strength of the highlight
    float patches = 0.0F;      ///< share of the second color, in patches
    Color second{};
    float opacity = 1.0F;
    float softness = 0.0F;  ///< width of the edge in local units, beyond one pixel
};

/// Paints one picture.
class Brush {
public:
    Brush(int size, std::uint64_t seed, std::uint64_t stream)
        : size_{size}, random_{seed, stream}, pixels_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size)) {
        light_ = on_circle(uniform(0.0F, tau));
    }

    int size() const { return size_; }
    std::vector<Color>& pixels() { return pixels_; }
    Point light() const { return light_; }

    float uniform(float low, float high) { return static_cast<float>(random_.uniform(low, high)); }
    float angle() { return uniform(0.0F, tau); }
    float normal() { return static_cast<float>(random_.normal()); }
    bool chance(float probability) { return uniform(0.0F, 1.0F) < probability; }
    /// A whole number in [low, high].
    int whole(int low, int high) {
        return low + static_cast<int>(random_.below(static_cast<std::uint64_t>(high - low + 1)));
    }
    std::uint32_t seed() { return static_cast<std::uint32_t>(random_.bits() >> 32); }
    Color pick(std::initializer_list<std::uint32_t> colors) {
        const auto index = random_.below(colors.size());
        return vary(hex(*(colors.begin() + index)), 0.06F);
    }
    Color vary(Color color, float amount) {
        const float shift = uniform(1.0F - 1.5F * amount, 1.0F + 1.5F * amount);
        return {color.r * shift + uniform(-amount, amount), color.g * shift + uniform(-amount, amount),
                color.b * shift + uniform(-amount, amount)};
    }
    /// A point spread evenly over the disc of this radius.
    Point in_disc(float radius) {
        const float distance = radius * std::sqrt(uniform(0.0F, 1.0F));
        return on_circle(angle()) * distance;
    }

    /// Smooth noise in [0, 1], one knot a unit.
    static float noise(Point p, std::uint32_t seed) {
        const float fx = std::floor(p.x);
        const float fy = std::floor(p.y);
        const auto ix = static_cast<std::int32_t>(fx);
        const auto iy = static_cast<std::int32_t>(fy);
        const float tx = smooth_step(0.0F, 1.0F, p.x - fx);
        const float ty = smooth_step(0.0F, 1.0F, p.y - fy);
        const float top = std::lerp(knot(ix, iy, seed), knot(ix + 1, iy, seed), tx);
        const float bottom = std::lerp(knot(ix, iy + 1, seed), knot(ix + 1, iy + 1, seed), tx);
        return std::lerp(top, bottom, ty);
    }

    /// Calls `shade(local, picture)` for each pixel and replaces the color by what it returns.
    template <class Shade>
    void wash(const Frame& frame, Shade shade) {
        for (int y = 0; y < size_; ++y)
            for (int x = 0; x < size_; ++x) {
                Color& pixel = at(x, y);
                pixel = shade(frame.to_local(center(x, y)), pixel);
            }
    }

    /// Fills the shape `distance(local) < 0`, which lies within `reach` of the frame's origin.
    void fill(const Frame& frame, float reach, Color color, const Finish& finish, Outline distance) {
        const float pixels_per_unit = std::sqrt(std::abs(frame.determinant())) * static_cast<float>(size_);
        const float width = finish.softness + 1.0F / pixels_per_unit;
        const std::uint32_t noise_seed = seed();
        const Point toward = local_light(frame);
        const float grown = reach + width;
        const float half_x = grown * std::hypot(frame.across.x, frame.down.x);
        const float half_y = grown * std::hypot(frame.across.y, frame.down.y);
        const int x0 = first_pixel(frame.origin.x - half_x);
        const int x1 = last_pixel(frame.origin.x + half_x);
        const int y0 = first_pixel(frame.origin.y - half_y);
        const int y1 = last_pixel(frame.origin.y + half_y);
        for (int y = y0; y <= y1; ++y)
            for (int x = x0; x <= x1; ++x) {
                const Point p = frame.to_local(center(x, y));
                const float d = distance(p);
                const float coverage = std::clamp(0.5F - d / width, 0.0F, 1.0F) * finish.opacity;
                if (coverage <= 0.0F) continue;
                Color& pixel = at(x, y);
                pixel = mix(pixel, surface(p, d, reach, toward, color, finish, noise_seed), coverage);
            }
    }

    void disc(const Frame& frame, float radius, Color color, const Finish& finish) {
        fill(frame, radius, color, finish, [=](Point p) { return circle(p, radius); });
    }

    /// An uneven disc: `roughness` is the relative swing of its radius.
    void blob(const Frame& frame, float radius, float roughness, Color color, const Finish& finish) {
        const float phases[4] = {angle(), angle(), angle(), angle()};
        fill(frame, radius * (1.0F + 1.6F * roughness), color, finish, [=](Point p) {
            const float a = std::atan2(p.y, p.x);
            const float swing = 0.7F * std::cos(2.0F * a + phases[0]) + 0.5F * std::cos(3.0F * a + phases[1]) +
                                0.3F * std::cos(5.0F * a + phases[2]) + 0.2F * std::cos(7.0F * a + phases[3]);
            return length(p) - radius * (1.0F + roughness * swing);
        });
    }

    void bar(const Frame& frame, float half_length, float half_width, float rounding, Color color,
             const Finish& finish) {
        fill(frame, std::hypot(half_length, half_width), color, finish,
             [=](Point p) { return box(p, half_length, half_width, rounding); });
    }

    /// A thread of a wandering course around the frame's origin, never far beyond `spread`.
    void strand(const Frame& frame, float spread, float half_width, int pieces, float bend, Color color) {
        Point points[24];
        const int count = std::min(pieces, 23);
        points[0] = in_disc(spread);
        float heading = angle();
        float turn = uniform(-bend, bend);
        for (int i = 1; i <= count; ++i) {
            Point next = points[i - 1] + on_circle(heading) * (spread * 0.22F);
            if (length(next) > spread) {
                // Back towards the middle, as a noodle slides off the rim.
                heading = std::atan2(-next.y, -next.x) + uniform(-0.9F, 0.9F);
                next = points[i - 1] + on_circle(heading) * (spread * 0.22F);
            }
            points[i] = next;
            heading += turn;
            if (chance(0.2F)) turn = uniform(-bend, bend);
        }
        const Finish shadow{.volume = 0.0F, .edge = 0.0F, .grain = 0.0F, .opacity = 0.6F};
        const Finish flat{.volume = 0.0F, .edge = 0.25F, .grain = 0.0F};
        for (const bool core : {false, true})
            for (int i = 0; i < count; ++i) {
                const Point middle = (points[i] + points[i + 1]) * 0.5F;
                const Point half = (points[i + 1] - points[i]) * 0.5F;
                const float radius = core ? half_width : half_width * 1.45F;
                fill(frame.at(middle.x, middle.y), length(half) + radius, core ? color : color * 0.45F,
                     core ? flat : shadow, [=](Point p) { return capsule(p, half * -1.0F, half, radius); });
            }
    }

    /// A soft shadow on the side away from the light.
    void shadow(const Frame& frame, float rx, float ry, float strength) {
        const Point away = local_light(frame) * -0.12F;
        fill(frame.at(away.x * rx, away.y * ry), std::max(rx, ry) * 1.3F, Color{},
             {.volume = 0.0F, .edge = 0.0F, .grain = 0.0F, .opacity = strength, .softness = 0.35F * std::min(rx, ry)},
             [=](Point p) { return ellipse(p, rx, ry); });
    }

private:
    static float knot(std::int32_t x, std::int32_t y, std::uint32_t seed) {
        std::uint32_t h =
            seed ^ (static_cast<std::uint32_t>(x) * 0x9e3779b1U) ^ (static_cast<std::uint32_t>(y) * 0x85ebca6bU);
        h = (h ^ (h >> 15)) * 0x2c1b3c6dU;
        h = (h ^ (h >> 12)) * 0x297a2d39U;
        return static_cast<float>((h ^ (h >> 15)) >> 8) * 0x1.0p-24F;
    }

    static Color surface(Point p, float d, float reach, Point toward, Color color, const Finish& finish,
                         std::uint32_t noise_seed) {
        if (finish.patches > 0.0F) {
            const float n = noise(p * (0.6F / finish.grain_size), noise_seed ^ 0x51ed270bU);
            const float threshold = 1.0F - finish.patches;
            color = mix(color, finish.second, smooth_step(threshold - 0.15F, threshold + 0.15F, n));
        }
        float shade = 1.0F + finish.volume * dot(p, toward) / reach;
        shade *= 1.0F - finish.edge * std::exp(std::min(d, 0.0F) * 6.0F / reach);
        if (finish.grain > 0.0F)
            shade *= 1.0F + finish.grain * (2.0F * noise(p * (1.0F / finish.grain_size), noise_seed) - 1.0F);
        color = color * shade;
        if (finish.gloss > 0.0F) {
            const Point spot = p * (1.0F / reach) - toward * 0.4F;
            color = mix(color, Color{1.0F, 1.0F, 1.0F}, finish.gloss * std::exp(-dot(spot, spot) * 22.0F));
        }
        return color;
    }

    Point local_light(const Frame& frame) const {
        const Point q = frame.to_local(frame.origin + light_);
        const float l = length(q);
        return {q.x / l, q.y / l};
    }
    Point center(int x, int y) const {
        return {(static_cast<float>(x) + 0.5F) / static_cast<float>(size_),
                (static_cast<float>(y) + 0.5F) / static_cast<float>(size_)};
    }
    Color& at(int x, int y) {
        return pixels_[static_cast<std::size_t>(y) * static_cast<std::size_t>(size_) + static_cast<std::size_t>(x)];
    }
    int first_pixel(float position) const {
        return static_cast<int>(
            std::clamp(std::floor(position * static_cast<float>(size_)), 0.0F, static_cast<float>(size_)));
    }
    int last_pixel(float position) const {
        return static_cast<int>(
            std::clamp(std::ceil(position * static_cast<float>(size_)), -1.0F, static_cast<float>(size_ - 1)));
    }

    int size_;
    bantam::Random random_;
    std::vector<Color> pixels_;
    Point light_;
};

}  // namespace still_life
