//! A BERT encoder for the CPU (Devlin et al. 2019, section 3; RoBERTa computes the same), inference only. The one file
//! that names candle: its tensors and matrix products are used, what is done element by element is done on
//! rows of our own, because candle's element-wise operations run on threads of a process-wide pool that spin.
//!
//! Sequences are laid end to end in one matrix of `(tokens, hidden)` and attend only to themselves: nothing is padded,
//! nothing is masked, and what a text becomes does not depend on the texts beside it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use candle_core::{CpuStorage, CustomOp1, DType, Device, InplaceOp1, InplaceOp2, Layout, Result, Shape, Tensor, bail};

use super::rows::{Norm, add, gelu, softmax};

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

/// So many outputs of a [`Linear`] lie side by side: two registers of eight, one cache line.
const PANEL: usize = 16;

struct Linear {
    /// The transposed matrix in panels of its outputs, `(out / PANEL, in, PANEL)`: the order in which the matrix product
    /// reads it. In any other, repacking it each time costs a third of everything, or its columns fall into the same few
    /// cache lines.
    panels: Tensor,
    bias: Vec<f32>,
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
        if first_type.len() != hidden {
            bail!("token types are {} wide, where config.json asks for {hidden}", first_type.len());
        }
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
            bail!(
                "a sequence of {} tokens, where 1 to {} can be read",
                sequence.len(),
                positions.saturating_sub(first_position)
            );
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
        let states = close(&self.attention_norm, self.attention_out.forward(&attended, |_| {})?, states)?;
        let wide = self.widen.forward(&states, |row| row.iter_mut().for_each(|value| *value = gelu(*value)))?;
        close(&self.norm, self.narrow.forward(&wide, |_| {})?, &states)
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
    /// From a matrix of `(out, in)`.
    fn new(weight: &Tensor, bias: Vec<f32>) -> Result<Self> {
        let (to, from) = weight.dims2()?;
        if to % PANEL != 0 {
            bail!("a layer of {to} outputs, where a multiple of {PANEL} can be computed");
        }
        Ok(Self { panels: weight.reshape((to / PANEL, PANEL, from))?.transpose(1, 2)?.contiguous()?, bias })
    }

    /// The product with the bias added, `(tokens, out)`, and `then` done to each row.
    fn forward(&self, states: &Tensor, then: impl Fn(&mut [f32])) -> Result<Tensor> {
        let (tokens, from) = states.dims2()?;
        let panels = self.panels.dim(0)?;
        let product = states.broadcast_as((panels, tokens, from))?.matmul(&self.panels)?;
        product.apply_op1_no_bwd(&Assemble(|row: &mut [f32]| {
            add(row, &self.bias);
            then(row);
        }))
    }
}

/// Ends a block: adds what went into it to what it made, and normalises.
fn close(norm: &Norm, made: Tensor, residual: &Tensor) -> Result<Tensor> {
    let add_and_normalise = |row: &mut [f32], residual: &[f32]| {
        add(row, residual);
        norm.apply(row);
    };
    made.inplace_op2(residual, &RowPairs(add_and_normalise))?;
    Ok(made)
}

/// Makes rows of panels: `(panels, tokens, PANEL)` becomes `(tokens, panels * PANEL)`, and something is done to each row.
struct Assemble<F>(F);

impl<F: Fn(&mut [f32])> CustomOp1 for Assemble<F> {
    fn name(&self) -> &'static str {
        "assemble"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("panels of a strided tensor or of another type than f32");
        };
        let (panels, tokens, _) = layout.shape().dims3()?;
        let width = panels * PANEL;
        let mut rows = Vec::with_capacity(tokens * width);
        for token in 0..tokens {
            let of_panels = values[start..end].chunks_exact(tokens * PANEL);
            of_panels.for_each(|panel| rows.extend_from_slice(&panel[token * PANEL..(token + 1) * PANEL]));
            (self.0)(&mut rows[token * width..]);
        }
        Ok((CpuStorage::F32(rows), Shape::from((tokens, width))))
    }
}

/// Does something to every row (last dimension) of a contiguous tensor, in place.
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
        Linear::new(&self.tensor(&format!("{name}.weight"), &[to, from])?, self.values(&format!("{name}.bias"), &[to])?)
    }

    fn layer(&self, at: usize, architecture: &Architecture) -> Result<Layer> {
        let Architecture { hidden, intermediate, heads, epsilon, .. } = *architecture;
        let name = |part: &str| format!("encoder.layer.{at}.{part}");
        let parts = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        let tensors = |end: &str, dims: &[usize]| {
            let mut all =
                parts.iter().map(|part| self.tensor(&format!("{part}.{end}"), dims)).collect::<Result<Vec<_>>>()?;
            all[0] = (&all[0] * f64::from((hidden / heads) as f32).sqrt().recip())?;
            Tensor::cat(&all, 0)
        };
        Ok(Layer {
            attention_in: Linear::new(&tensors("weight", &[hidden, hidden])?, tensors("bias", &[hidden])?.to_vec1()?)?,
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

    const TINY: Architecture = Architecture {
        hidden: 16,
        intermediate: 32,
        layers: 1,
        heads: 2,
        vocabulary: 5,
        positions: 6,
        first_position: 2,
        epsilon: 1e-5,
        pooling: Pooling::Mean,
    };

    /// Weights of [`TINY`] under `prefix`, all different, in f16.
    fn tiny(prefix: &str) -> HashMap<String, Tensor> {
        let layer = "encoder.layer.0";
        let mut shapes = vec![
            ("embeddings.word_embeddings.weight".to_owned(), vec![5, 16]),
            ("embeddings.position_embeddings.weight".to_owned(), vec![6, 16]),
            ("embeddings.token_type_embeddings.weight".to_owned(), vec![1, 16]),
        ];
        for (name, dims) in [
            (format!("{layer}.attention.self.query"), [16, 16]),
            (format!("{layer}.attention.self.key"), [16, 16]),
            (format!("{layer}.attention.self.value"), [16, 16]),
            (format!("{layer}.attention.output.dense"), [16, 16]),
            (format!("{layer}.intermediate.dense"), [32, 16]),
            (format!("{layer}.output.dense"), [16, 32]),
        ] {
            shapes.push((format!("{name}.weight"), dims.to_vec()));
            shapes.push((format!("{name}.bias"), vec![dims[0]]));
        }
        for name in ["embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"] {
            shapes.push((format!("{name}.LayerNorm.gamma"), vec![16]));
            shapes.push((format!("{name}.LayerNorm.beta"), vec![16]));
        }
        let tensor = |(at, (name, dims)): (usize, (String, Vec<usize>))| {
            let values =
                (0..dims.iter().product::<usize>()).map(|value| (((value + 3) * (at + 7)) as f32 * 0.61).sin());
            let tensor = Tensor::from_iter(values, &Device::Cpu).and_then(|flat| flat.reshape(dims));
            (format!("{prefix}{name}"), tensor.and_then(|tensor| tensor.to_dtype(DType::F16)).expect("a tensor"))
        };
        shapes.into_iter().enumerate().map(tensor).collect()
    }

    fn load(tensors: &HashMap<String, Tensor>, pooling: Pooling) -> Result<Encoder> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.safetensors");
        candle_core::safetensors::save(tensors, &file)?;
        Encoder::load(&file, Architecture { pooling, ..TINY })
    }

    #[test]
    fn texts_do_not_depend_on_their_neighbours_and_order_matters() {
        let encoder = load(&tiny("roberta."), Pooling::Mean).expect("complete");
        let texts = [vec![0, 1, 2, 3], vec![4], vec![3, 2, 1, 0]];
        let together = encoder.encode(&texts).expect("vectors");
        for (text, vector) in texts.iter().zip(&together) {
            let alone = encoder.encode(std::slice::from_ref(text)).expect("a vector");
            assert!(alone[0].iter().zip(vector).all(|(one, other)| (one - other).abs() < 1e-5));
        }
        assert!(together[0].iter().zip(&together[2]).any(|(one, other)| (one - other).abs() > 1e-2));
    }

    #[test]
    fn pooling_is_one_of_three() {
        let vector = |pooling, text: &[u32]| {
            let encoder = load(&tiny(""), pooling).expect("complete");
            encoder.encode(&[text.to_vec()]).expect("a vector").remove(0)
        };
        let [first, mean, max] = [Pooling::First, Pooling::Mean, Pooling::Max].map(|it| vector(it, &[1, 2, 3]));
        assert!(max.iter().zip(&mean).all(|(max, mean)| max >= mean) && max.iter().zip(&first).all(|(a, b)| a >= b));
        assert!(first != mean && mean != max);
        assert_eq!(vector(Pooling::First, &[4]), vector(Pooling::Max, &[4]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let encoder = load(&tiny("bert."), Pooling::Mean).expect("complete");
        for (text, reason) in [(vec![], "0 tokens"), (vec![0; 5], "1 to 4"), (vec![5], "token 5")] {
            let error = encoder.encode(&[text]).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
        }
        let missing = "encoder.layer.0.output.dense.bias";
        let mut tensors = tiny("");
        let spare = tensors.remove(missing).expect("there");
        assert!(load(&tensors, Pooling::Mean).err().expect("refused").to_string().contains(missing));
        tensors.insert(missing.to_owned(), spare.narrow(0, 0, 8).expect("half"));
        assert!(
            load(&tensors, Pooling::Mean).err().expect("refused").to_string().contains("config.json asks for [16]")
        );
        assert!(load(&HashMap::new(), Pooling::Mean).err().expect("refused").to_string().contains("word_embeddings"));
    }
}
