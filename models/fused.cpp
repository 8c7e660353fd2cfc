// Batch normalisation, ReLU and the addition of a residual block in one pass over memory, for training on a CPU.
//
// x is [N, C, H, W] in channels_last order: `rows` = N H W rows of C numbers, C a multiple of 16; bf16 or fp32.
//   forward:   t = x + before,  m, v = mean and variance of t by channel,  s = weight / sqrt(v + eps),  o = bias - m s
//              y = max(0, t s + o + after);  `before` and `after` are optional, and t is returned if it is not x
//   backward:  g = dy where y > 0, else 0;  h = (t - m) / sqrt(v + eps)
//              dbias = sum g,  dweight = sum g h,  dafter = g
//              dx = dbefore = s (g - dbias / rows - h dweight / rows) + dt
// In an evaluation m and v are the running statistics, and there is no backward pass.
// Rows are summed in fp32 in blocks of a fixed size, and the blocks in fp64 in their order: the result does not depend
// on the number of threads. The vectors are those of GCC, which compiles them for any processor. Without contraction
// (-ffp-contract=off) each of them gives the same bits.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include <cmath>
#include <cstring>
#include <vector>

namespace {
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = std::optional<Tensor>;
using bf16 = uint16_t;  // the upper half of an fp32

#ifdef __AVX512F__
constexpr int64_t LANES = 16;
#elif defined __AVX__
constexpr int64_t LANES = 8;
#else
constexpr int64_t LANES = 4;  // vectors wider than registers would be slow
#endif
constexpr int64_t BLOCK_ROWS = 256, BLOCKS_PER_THREAD = 16;
typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

inline void load(const float* from, Vector& to) { std::memcpy(&to, from, sizeof to); }
inline void load(const bf16* from, Vector& to) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
#ifdef __AVX512F__
  const __m512i wide = _mm512_cvtepu16_epi32(reinterpret_cast<const __m256i&>(halves));
  Bits bits = reinterpret_cast<const Bits&>(wide) << 16;
#else
  Bits bits = __builtin_convertvector(halves, Bits) << 16;
#endif
  std::memcpy(&to, &bits, sizeof to);
}
inline void store(const Vector& value, float* to) { std::memcpy(to, &value, sizeof value); }
inline void store(const Vector& value, bf16* to) {  // rounds to the nearest, ties to even; a NaN stays one
#ifdef __AVX512BF16__
  const __m256bh halves = _mm512_cvtneps_pbh(reinterpret_cast<const __m512&>(value));
  std::memcpy(to, &halves, sizeof halves);
#else
  Bits bits;
  std::memcpy(&bits, &value, sizeof bits);
  Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  rounded = (bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16) | 0x40 : rounded;
  Halves halves = __builtin_convertvector(rounded, Halves);
  std::memcpy(to, &halves, sizeof halves);
#endif
}
// Adds what lies at `from` to the value, rounds the sum to the number format of the tensors, and stores it.
template <typename T>
inline void add(const T* from, Vector& value, T* to) {
  Vector other;
  load(from, other);
  value += other;
  T rounded[LANES];
  store(value, rounded);
  std::memcpy(to, rounded, sizeof rounded);
  load(rounded, value);
}
#define LOAD(name, from) Vector name; load(from, name)

// Calls visit(block, first row, row after the last) for all blocks of rows, on all threads.
template <class Visit>
void for_blocks(int64_t rows, Visit visit) {
  at::parallel_for(0, (rows + BLOCK_ROWS - 1) / BLOCK_ROWS, BLOCKS_PER_THREAD, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      visit(block, block * BLOCK_ROWS, std::min(rows, (block + 1) * BLOCK_ROWS));
  });
}

// Calls `at_channel(c)` for each LANES channels, and what it returns with the position of these channels in each row.
template <class AtChannel>
void for_each(int64_t rows, int64_t channels, AtChannel at_channel) {
  for_blocks(rows, [=](int64_t, int64_t first, int64_t last) {
    const int64_t step = channels;  // a copy, which the stores of `visit` cannot change
    for (int64_t c = 0; c < step; c += LANES) {
      auto visit = at_channel(c);
#pragma GCC unroll 4
      for (int64_t at = first * step + c; at < last * step; at += step) visit(at);
    }
  });
}

// The same for two sums over all rows: visit(position, first addend, second addend). Returns the sums [2 * channels].
template <class AtChannel>
std::vector<double> sums(int64_t rows, int64_t channels, AtChannel at_channel) {
  const int64_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS, width = 2 * channels;
  std::vector<float> parts(blocks * width);
  float* into = parts.data();
  for_blocks(rows, [=](int64_t block, int64_t first, int64_t last) {
    for (int64_t c = 0; c < channels; c += LANES) {
      auto visit = at_channel(c);
      Vector one[4] = {}, two[4] = {};  // four of each, since an addition has to wait for the one before
      auto accumulate = [&](int64_t row, int part) {
        Vector a, b;
        visit(row * channels + c, a, b);
        one[part] += a;
        two[part] += b;
      };
      int64_t row = first;
      for (; row + 4 <= last; row += 4) {
        accumulate(row, 0);
        accumulate(row + 1, 1);
        accumulate(row + 2, 2);
        accumulate(row + 3, 3);
      }
      for (; row < last; ++row) accumulate(row, 0);
      store(one[0] + one[1] + one[2] + one[3], into + block * width + c);
      store(two[0] + two[1] + two[2] + two[3], into + block * width + channels + c);
    }
  });
  std::vector<double> total(width);
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t c = 0; c < width; ++c) total[c] += parts[block * width + c];
  return total;
}

struct Size {
  int64_t rows, channels;
  explicit Size(const Tensor& x) : rows(x.size(0) * x.size(2) * x.size(3)), channels(x.size(1)) {}
};

template <typename T>
T* data(const Tensor& tensor) { return tensor.defined() ? static_cast<T*>(tensor.data_ptr()) : nullptr; }

struct Norm {
  Tensor weight, bias, mean, variance;
  bool training;
  double momentum, eps;
};

// The tensors of one call, each undefined if there is none; t is x where nothing is added.
struct Images { Tensor x, before, t, after, y; };

// Sets `stats` [4, channels] to m, 1 / sqrt(v + eps), s and o of the formulae, and the running statistics.
// Writes t as well.
template <typename T>
void statistics(const Images& images, const Norm& norm, Tensor& stats) {
  const Size size(images.x);
  const int64_t n = size.rows, C = size.channels;
  const T *px = data<T>(images.x), *pb = data<T>(images.before);
  T* pt = data<T>(images.t);
  float *mean = data<float>(stats), *inverse = mean + C, *scale = inverse + C, *offset = scale + C;
  float *running_mean = data<float>(norm.mean), *running_variance = data<float>(norm.variance);
  const auto sum = sums(n, C, [=](int64_t c) {
    LOAD(shift, running_mean + c);  // near the mean, so that the squares stay small
    return [=](int64_t at, Vector& one, Vector& two) {
      LOAD(value, px + at);
      if (pb) add(pb + at, value, pt + at);
      one = value - shift;
      two = one * one;
    };
  });
  for (int64_t c = 0; c < C; ++c) {
    const double d = sum[c] / n, variance = std::max(0.0, sum[C + c] / n - d * d);
    mean[c] = running_mean[c] + d;
    inverse[c] = 1 / std::sqrt(variance + norm.eps);
    running_mean[c] += norm.momentum * (mean[c] - running_mean[c]);
    running_variance[c] += norm.momentum * (variance * n / (n - 1) - running_variance[c]);
  }
}

template <typename T>
void forward(const Images& images, const Norm& norm, Tensor& stats) {
  const Size size(images.x);
  const int64_t n = size.rows, C = size.channels;
  float *mean = data<float>(stats), *inverse = mean + C, *scale = inverse + C, *offset = scale + C;
  if (norm.training) statistics<T>(images, norm, stats);
  for (int64_t c = 0; c < C; ++c) {
    if (!norm.training) {
      mean[c] = data<float>(norm.mean)[c];
      inverse[c] = 1 / std::sqrt(data<float>(norm.variance)[c] + norm.eps);
    }
    scale[c] = inverse[c] * data<float>(norm.weight)[c];
    offset[c] = data<float>(norm.bias)[c] - mean[c] * scale[c];
  }
  const T *px = data<T>(norm.training ? images.t : images.x), *pa = data<T>(images.after);
  const T* pb = norm.training ? nullptr : data<T>(images.before);
  T *pt = data<T>(images.t), *py = data<T>(images.y);
  for_each(n, C, [=](int64_t c) {
    LOAD(s, scale + c);
    LOAD(o, offset + c);
    return [=](int64_t at) {
      LOAD(value, px + at);
      if (pb) add(pb + at, value, pt + at);
      value = value * s + o;
      if (pa) {
        LOAD(other, pa + at);
        value += other;
      }
      store(value < 0.f ? Vector{} : value, py + at);  // a NaN stays one
    };
  });
}

struct Gradients { Tensor dx, dafter, dweight, dbias; };

// `images.y` is needed only if there was an `after`; else t tells where y > 0.
template <typename T>
void backward(const Images& images, const Tensor& dt, const Tensor& dy, const Tensor& stats, const Gradients& wanted) {
  const Size size(images.t);
  const int64_t n = size.rows, C = size.channels;
  const T *pt = data<T>(images.t), *py = data<T>(images.y), *pdt = data<T>(dt), *pdy = data<T>(dy);
  T *pdx = data<T>(wanted.dx), *pda = data<T>(wanted.dafter);
  float *dweight = data<float>(wanted.dweight), *dbias = data<float>(wanted.dbias);
  const float *mean = data<float>(stats), *inverse = mean + C, *scale = inverse + C, *offset = scale + C;
  auto through_relu = [=](int64_t at, const Vector& value, const Vector& s, const Vector& o, Vector& g) {
    load(pdy + at, g);
    Vector out = value * s + o;
    if (py) load(py + at, out);
    g = out > 0.f ? g : Vector{};
  };
  const auto sum = sums(n, C, [=](int64_t c) {
    LOAD(m, mean + c);
    LOAD(s, scale + c);
    LOAD(o, offset + c);
    return [=](int64_t at, Vector& one, Vector& two) {
      LOAD(value, pt + at);
      through_relu(at, value, s, o, one);
      two = one * (value - m);
    };
  });
  std::vector<float> slopes(C), constants(C);  // dx = s g + slope t + constant + dt
  for (int64_t c = 0; c < C; ++c) {
    const double s = scale[c], slope = s * sum[C + c] * inverse[c] * inverse[c] / n;
    dbias[c] = sum[c];
    dweight[c] = sum[C + c] * inverse[c];
    slopes[c] = -slope;
    constants[c] = slope * mean[c] - s * sum[c] / n;
  }
  const float *pslopes = slopes.data(), *pconstants = constants.data();
  for_each(n, C, [=](int64_t c) {
    LOAD(s, scale + c);
    LOAD(o, offset + c);
    LOAD(slope, pslopes + c);
    LOAD(constant, pconstants + c);
    return [=](int64_t at) {
      LOAD(value, pt + at);
      Vector g;
      through_relu(at, value, s, o, g);
      value = s * g + slope * value + constant;
      if (pdt) {
        LOAD(other, pdt + at);
        value += other;
      }
      store(value, pdx + at);
      if (pda) store(g, pda + at);
    };
  });
}

Tensor compute_forward(Images& images, const Norm& norm) {
  images.t = images.before.defined() ? at::empty_like(images.x) : images.x;
  images.y = at::empty_like(images.x);
  Tensor stats = at::empty({4, images.x.size(1)}, norm.weight.options());
  (images.x.scalar_type() == at::kBFloat16 ? forward<bf16> : forward<float>)(images, norm, stats);
  return stats;
}

class NormRelu : public torch::autograd::Function<NormRelu> {
 public:
  static variable_list forward(AutogradContext* context, Tensor x, Optional before, Optional after, Tensor weight, Tensor bias, Tensor mean, Tensor variance, double momentum, double eps) {
    Images images{x, before.value_or(Tensor()), {}, after.value_or(Tensor()), {}};
    const Tensor stats = compute_forward(images, {weight, bias, mean, variance, true, momentum, eps});
    context->save_for_backward({images.t, after ? images.y : Tensor(), stats});
    context->set_materialize_grads(false);
    return before ? variable_list{images.y, images.t} : variable_list{images.y};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &t = saved[0], &y = saved[1], &stats = saved[2];
    const bool has_before = gradients.size() == 2;
    auto dense = [](const Tensor& d) { return d.defined() ? d.contiguous(at::MemoryFormat::ChannelsLast) : d; };
    const Tensor dy = gradients[0].defined() ? dense(gradients[0]) : at::zeros_like(t);
    const Tensor dweight = at::empty({t.size(1)}, stats.options());
    const Gradients wanted{at::empty_like(t), y.defined() ? at::empty_like(t) : Tensor(), dweight, at::empty_like(dweight)};
    auto compute = t.scalar_type() == at::kBFloat16 ? ::backward<bf16> : ::backward<float>;
    compute({{}, {}, t, {}, y}, has_before ? dense(gradients[1]) : Tensor(), dy, stats, wanted);
    const Tensor none;
    return {wanted.dx, has_before ? wanted.dx : none, wanted.dafter, wanted.dweight, wanted.dbias, none, none, none, none};
  }
};

// Returns y, and t if there is a `before`.
std::vector<Tensor> norm_relu(const Tensor& x, const Optional& before, const Optional& after, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& variance, bool training, double momentum, double eps) {
  if (training) return NormRelu::apply(x, before, after, weight, bias, mean, variance, momentum, eps);
  Images images{x, before.value_or(Tensor()), {}, after.value_or(Tensor()), {}};
  compute_forward(images, {weight, bias, mean, variance, false, momentum, eps});
  return before ? variable_list{images.y, images.t} : variable_list{images.y};
}
}  // namespace

TORCH_LIBRARY(batchscape, library) { library.def("norm_relu", &norm_relu); }
