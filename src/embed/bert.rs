//! A BERT encoder for the CPU (Devlin et al. 2019, section 3; RoBERTa computes the same), inference only. The one file
//! that names candle: its tensors and matrix products are used, everything element by element is done row by row here.
//!
//! Sequences are laid end to end in one matrix of `(tokens, hidden)` and attend only to themselves, so nothing is
//! padded, nothing is masked, and what a text becomes does not depend on the texts beside it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use candle_core::{CpuStorage, DType, Device, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};

/// How the tokens' outputs become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Their mean, special tokens included.
    Mean,
    /// The first one's, the `[CLS]` token.
    First,
    /// Their maximum in each dimension.
    Max,
}

/// The network's measures.
#[derive(Debug, Clone)]
pub(super) struct Architecture {
    /// Width of the states and of the vectors.
    pub hidden: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// How many layers.
    pub layers: usize,
    /// How many attention heads; they divide `hidden`.
    pub heads: usize,
    /// How many token ids.
    pub vocabulary: usize,
    /// How many rows the position table has.
    pub positions: usize,
    /// The row of the first token's position.
    pub first_position: usize,
    /// What keeps layer norm from dividing by zero.
    pub epsilon: f32,
    /// What is made of the tokens' outputs.
    pub pooling: Pooling,
}

/// The network with its weights.
pub(super) struct Encoder {
    architecture: Architecture,
    /// `(vocabulary, hidden)`, row by row.
    words: Vec<f32>,
    /// `(positions, hidden)`, the embedding of token type 0 added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    /// Query, key and value side by side, the query scaled by 1/√(head width).
    attention_in: Linear,
    attention_out: Linear,
    attention_norm: Norm,
    widen: Linear,
    narrow: Linear,
    norm: Norm,
}

struct Linear {
    /// `(out, in)`.
    weight: Tensor,
    bias: Vec<f32>,
}

struct Norm {
    scale: Vec<f32>,
    shift: Vec<f32>,
    epsilon: f32,
}

impl Encoder {
    /// Reads the weights of a safetensors file, of any float type, named as transformers names them.
    ///
    /// # Errors
    /// Names the tensor that is missing or of another shape.
    pub(super) fn load(file: &Path, architecture: Architecture) -> Result<Self> {
        let weights = Weights::read(file)?;
        let Architecture { hidden, positions, vocabulary, epsilon, .. } = architecture;
        let types = weights.tensor("embeddings.token_type_embeddings.weight", &[])?;
        let first_type = types.get(0)?.to_vec1::<f32>()?;
        let mut places = weights.values("embeddings.position_embeddings.weight", &[positions, hidden])?;
        for row in places.chunks_exact_mut(hidden) {
            add(row, &first_type);
        }
        Ok(Self {
            words: weights.values("embeddings.word_embeddings.weight", &[vocabulary, hidden])?,
            positions: places,
            norm: weights.norm("embeddings.LayerNorm", hidden, epsilon)?,
            layers: (0..architecture.layers).map(|at| weights.layer(at, &architecture)).collect::<Result<_>>()?,
            architecture,
        })
    }

    /// One vector of `hidden` components a sequence of token ids (special tokens included), not normalised.
    ///
    /// # Errors
    /// Where a sequence is empty or too long, or holds an id outside the vocabulary.
    pub(super) fn encode(&self, sequences: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let width = self.architecture.hidden;
        let mut spans = Vec::with_capacity(sequences.len());
        let mut rows = Vec::with_capacity(sequences.iter().map(Vec::len).sum::<usize>() * width);
        for sequence in sequences {
            let start = rows.len() / width;
            self.look_up(sequence, &mut rows)?;
            spans.push(start..rows.len() / width);
        }
        let tokens = rows.len() / width;
        let mut states = Tensor::from_vec(rows, (tokens, width), &Device::Cpu)?;
        for layer in &self.layers {
            states = layer.forward(&states, &spans, self.architecture.heads)?;
        }
        let states = states.flatten_all()?.to_vec1::<f32>()?;
        Ok(spans.iter().map(|span| self.pool(&states[span.start * width..span.end * width])).collect())
    }

    /// Appends the input rows of a sequence.
    fn look_up(&self, sequence: &[u32], rows: &mut Vec<f32>) -> Result<()> {
        let Architecture { hidden: width, positions, first_position, vocabulary, .. } = self.architecture;
        if sequence.is_empty() || sequence.len() + first_position > positions {
            bail!("a sequence of {} tokens, where 1 to {} can be read", sequence.len(), positions - first_position);
        }
        for (at, id) in sequence.iter().map(|id| *id as usize).enumerate() {
            if id >= vocabulary {
                bail!("token {id}, where the vocabulary has {vocabulary}: tokenizer.json is of another model");
            }
            let start = rows.len();
            rows.extend_from_slice(&self.words[id * width..(id + 1) * width]);
            let place = (first_position + at) * width;
            add(&mut rows[start..], &self.positions[place..place + width]);
            self.norm.apply(&mut rows[start..]);
        }
        Ok(())
    }

    fn pool(&self, states: &[f32]) -> Vec<f32> {
        let width = self.architecture.hidden;
        let mut pooled = states[..width].to_vec();
        let others = states[width..].chunks_exact(width);
        match self.architecture.pooling {
            Pooling::First => {}
            Pooling::Max => {
                others.for_each(|row| pooled.iter_mut().zip(row).for_each(|(to, from)| *to = to.max(*from)))
            }
            Pooling::Mean => {
                others.for_each(|row| add(&mut pooled, row));
                let count = (states.len() / width) as f32;
                pooled.iter_mut().for_each(|value| *value /= count);
            }
        }
        pooled
    }
}

impl Layer {
    fn forward(&self, states: &Tensor, spans: &[Range<usize>], heads: usize) -> Result<Tensor> {
        let attended = self.attend(states, spans, heads)?;
        let states = self.attention_norm.after(self.attention_out.forward(&attended, |_| {})?, states)?;
        let wide = self.widen.forward(&states, |row| row.iter_mut().for_each(|value| *value = gelu(*value)))?;
        self.norm.after(self.narrow.forward(&wide, |_| {})?, &states)
    }

    /// Multi-head self-attention inside each sequence (Vaswani et al. 2017, section 3.2).
    fn attend(&self, states: &Tensor, spans: &[Range<usize>], heads: usize) -> Result<Tensor> {
        let (tokens, hidden) = states.dims2()?;
        let projected = self.attention_in.forward(states, |_| {})?.reshape((tokens, 3, heads, hidden / heads))?;
        let attended = spans.iter().map(|span| {
            let rows = projected.narrow(0, span.start, span.len())?;
            // Each (heads, tokens, head width), a view without a copy.
            let part = |at| rows.narrow(1, at, 1)?.squeeze(1)?.transpose(0, 1);
            let (query, key, value) = (part(0)?, part(1)?, part(2)?);
            let weights = query.matmul(&key.t()?)?;
            weights.inplace_op1(&Rows(softmax))?;
            weights.matmul(&value)?.transpose(0, 1)?.reshape((span.len(), hidden))
        });
        Tensor::cat(&attended.collect::<Result<Vec<_>>>()?, 0)
    }
}

impl Linear {
    /// The product with the bias added, and `then` done to each row.
    fn forward(&self, states: &Tensor, then: impl Fn(&mut [f32])) -> Result<Tensor> {
        let product = states.matmul(&self.weight.t()?)?;
        product.inplace_op1(&Rows(|row: &mut [f32]| {
            add(row, &self.bias);
            then(row);
        }))?;
        Ok(product)
    }
}

impl Norm {
    /// Adds the residual to what a block made of it, and normalises.
    fn after(&self, made: Tensor, residual: &Tensor) -> Result<Tensor> {
        made.inplace_op2(
            residual,
            &RowPairs(|row: &mut [f32], residual: &[f32]| {
                add(row, residual);
                self.apply(row);
            }),
        )?;
        Ok(made)
    }

    fn apply(&self, row: &mut [f32]) {
        let count = row.len() as f32;
        let mean = row.iter().sum::<f32>() / count;
        row.iter_mut().for_each(|value| *value -= mean);
        let variance = row.iter().map(|value| value * value).sum::<f32>() / count;
        let factor = (variance + self.epsilon).sqrt().recip();
        for ((value, scale), shift) in row.iter_mut().zip(&self.scale).zip(&self.shift) {
            *value = *value * factor * scale + shift;
        }
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum = row.iter().sum::<f32>();
    row.iter_mut().for_each(|value| *value /= sum);
}

/// x·Φ(x), the exact form with erf (Hendrycks and Gimpel 2016, section 2).
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function to the precision of `f32`, without a branch, so that the compiler can do many at once: the
/// rational approximation of Eigen and XLA, an odd polynomial of degree 13 over an even one of degree 8, within ±4.
fn erf(x: f32) -> f32 {
    const ABOVE: [f32; 7] = [
        -2.726_142e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_5e-5,
        -7.349_906_3e-4,
        -2.954_600_1e-3,
        -1.609_603_3e-2,
    ];
    const BELOW: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329_4e-3, -1.426_473_9e-2];
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let above = ABOVE.iter().fold(0.0, |sum, factor| sum * square + factor);
    let below = BELOW.iter().fold(0.0, |sum, factor| sum * square + factor);
    x * above / below
}

/// Does something to every row (last dimension) of a contiguous tensor, in place.
///
/// candle's own element-wise operations run on threads of a process-wide pool that spin while they wait.
struct Rows<F>(F);

impl<F: Fn(&mut [f32])> InplaceOp1 for Rows<F> {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("rows of a strided tensor or of another type than f32");
        };
        let width = layout.dims().last().copied().unwrap_or(1);
        values[start..end].chunks_exact_mut(width).for_each(&self.0);
        Ok(())
    }
}

/// Does something to every row of a contiguous tensor beside the same row of another.
struct RowPairs<F>(F);

impl<F: Fn(&mut [f32], &[f32])> InplaceOp2 for RowPairs<F> {
    fn name(&self) -> &'static str {
        "row-pairs"
    }

    fn cpu_fwd(&self, to: &mut CpuStorage, to_layout: &Layout, from: &CpuStorage, from_layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(to), CpuStorage::F32(from)) = (to, from) else { bail!("rows of another type than f32") };
        let (Some((to_start, to_end)), Some((from_start, from_end))) =
            (to_layout.contiguous_offsets(), from_layout.contiguous_offsets())
        else {
            bail!("rows of a strided tensor");
        };
        let width = to_layout.dims().last().copied().unwrap_or(1);
        let pairs = to[to_start..to_end].chunks_exact_mut(width).zip(from[from_start..from_end].chunks_exact(width));
        pairs.for_each(|(to, from)| (self.0)(to, from));
        Ok(())
    }
}

/// A safetensors file in memory.
struct Weights {
    tensors: HashMap<String, Tensor>,
    /// What stands before the names, where the encoder was saved as part of something larger.
    prefix: &'static str,
}

impl Weights {
    fn read(file: &Path) -> Result<Self> {
        let tensors = candle_core::safetensors::load(file, &Device::Cpu)?;
        let fits = |prefix: &&str| tensors.contains_key(&format!("{prefix}embeddings.word_embeddings.weight"));
        let Some(prefix) = ["", "bert.", "roberta."].into_iter().find(fits) else {
            bail!("no embeddings.word_embeddings.weight among its {} tensors", tensors.len());
        };
        Ok(Self { tensors, prefix })
    }

    /// A tensor as f32; no `dims` for any.
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Tensor> {
        let name = format!("{}{name}", self.prefix);
        let Some(tensor) = self.tensors.get(&name) else { bail!("no tensor {name}") };
        if !dims.is_empty() && tensor.dims() != dims {
            bail!("{name} is {:?}, where config.json asks for {dims:?}", tensor.dims());
        }
        tensor.to_dtype(DType::F32)
    }

    fn values(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>> {
        self.tensor(name, dims)?.flatten_all()?.to_vec1()
    }

    fn norm(&self, name: &str, width: usize, epsilon: f32) -> Result<Norm> {
        let old = self.tensors.contains_key(&format!("{}{name}.gamma", self.prefix));
        let (scale, shift) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        Ok(Norm {
            scale: self.values(&format!("{name}.{scale}"), &[width])?,
            shift: self.values(&format!("{name}.{shift}"), &[width])?,
            epsilon,
        })
    }

    fn linear(&self, name: &str, from: usize, to: usize) -> Result<Linear> {
        Ok(Linear {
            weight: self.tensor(&format!("{name}.weight"), &[to, from])?,
            bias: self.values(&format!("{name}.bias"), &[to])?,
        })
    }

    fn layer(&self, at: usize, architecture: &Architecture) -> Result<Layer> {
        let Architecture { hidden, intermediate, heads, epsilon, .. } = *architecture;
        let name = |part: &str| format!("encoder.layer.{at}.{part}");
        let part = |part: &str| self.linear(&name(&format!("attention.self.{part}")), hidden, hidden);
        let (mut query, key, value) = (part("query")?, part("key")?, part("value")?);
        let scale = ((hidden / heads) as f32).sqrt().recip();
        query.weight = (&query.weight * f64::from(scale))?;
        query.bias.iter_mut().for_each(|value| *value *= scale);
        Ok(Layer {
            attention_in: Linear {
                weight: Tensor::cat(&[query.weight, key.weight, value.weight], 0)?,
                bias: [query.bias, key.bias, value.bias].concat(),
            },
            attention_out: self.linear(&name("attention.output.dense"), hidden, hidden)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"), hidden, epsilon)?,
            widen: self.linear(&name("intermediate.dense"), hidden, intermediate)?,
            narrow: self.linear(&name("output.dense"), intermediate, hidden)?,
            norm: self.norm(&name("output.LayerNorm"), hidden, epsilon)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error function by its Taylor series, good to 1e-9 within ±4.
    fn series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn erf_is_exact_to_single_precision() {
        for step in -4000..=4000 {
            let x = f64::from(step) / 1000.0;
            assert!((f64::from(erf(x as f32)) - series(x)).abs() < 5e-7, "{x}: {} {}", erf(x as f32), series(x));
        }
        assert!((erf(30.0) - 1.0).abs() < 1e-6 && (erf(-30.0) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn rows_are_normalised() {
        let norm = Norm { scale: vec![2.0; 4], shift: vec![1.0; 4], epsilon: 1e-12 };
        let mut row = [1.0, 2.0, 3.0, 4.0];
        norm.apply(&mut row);
        assert!((row.iter().sum::<f32>() / 4.0 - 1.0).abs() < 1e-6, "{row:?}");
        let mut row = [1000.0, 1001.0, f32::NEG_INFINITY];
        softmax(&mut row);
        assert!((row[1] - 0.731_058_6).abs() < 1e-6 && row[2] == 0.0, "{row:?}");
    }
}
