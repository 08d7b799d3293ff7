// SPDX-License-Identifier: MIT
// expect-text: NetAug: tensor 0.weight of the student does not fit into tensor 0.weight of the wide network
// without: nvcc
// errors: 1
#include <bantam/layers/all.hpp>
#include <bantam/models/net_aug.hpp>

using namespace bantam;

template <int Channels>
using Net = Network<Image<8, 8, 3>, Conv2d<Channels, 3>, ReLU, GlobalAveragePool, Linear<4>>;

#ifdef TWIN
using Augmented = NetAug<Net<8>, Net<16>>;
#else
using Augmented = NetAug<Net<8>, Net<4>>;
#endif
static_assert(sizeof(Augmented) > 0);

// The student's elements would be multiplied by the weights of others.
template <int Channels>
using Flat = Network<Image<4, 4, 3>, Conv2d<Channels, 3>, Flatten, Linear<4>>;
static_assert(detail::NotInside<Flat<2>, Flat<4>>::sentence.view().starts_with("NetAug: Flatten moves channels"));
static_assert(detail::NotInside<Net<4>, Net<8>>::sentence.view().empty());
