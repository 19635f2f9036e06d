"""Every kind of task there is, on one shared encoder, on digits over photographs.

    mtjax train --config=configs/everything.py --workdir=runs/everything
    mtjax compare --workdir=runs/everything
    mtjax train --config=configs/everything.py --config.tasks=depth --workdir=runs/depth    # one of them alone

Thirteen observations of 32×32 pictures pass the encoder in one batch of 16 scenes; 27 heads read what it makes of them.

2026-11-27, one of 2 cores: 37 min. Test split (256 scenes), seed 0, beside what needs no learning, as `mtjax compare`
prints it, which also says how sure it is. Classical methods still win where a head is small and the operator is known
exactly: inpainting, few measurements, bursts; where the motion has to be estimated, as in clips, the head wins. Samples
are still noise: `configs/generate.py` trains that head for longer.

    deblur 25.1 dB (observed 21.5, Wiener 23.9, ADMM-TV 24.9)      sense 20.4 dB (Aᴴy 7.6, ADMM-TV 20.6)
    inpaint 22.3 dB (observed 8.6, ADMM-TV 23.1)                   deblock 25.6 dB, detail 25.5 dB
    enlarge 22.9 dB, zoom 23.7 dB, guided 23.6 dB (bicubic 22.6, ADMM-TV 22.8)
    merge 25.2 dB (one frame 20.4, joint TV 28.1)                  video 24.7 dB (one frame 20.4, joint TV 23.8)
    balance 21.8 dB, style 25.2 dB (observed 18.1, gray world 19.4)  colorize 22.3 dB
    code 20.9 dB at 0.36 bit per pixel (JPEG 18.2 dB there, counting its scan; whole files have 5.2)
    digit 0.852 (always 0: 0.125), parity 0.949, present mean average precision 0.72
    detect AP 0.40, AP50 0.59; pieces PQ 0.61, mask AP50 0.74; salient MAE 0.016 (spectral residual 0.239)
    segment mIoU 0.578, figure 0.613 (background everywhere 0.075); edges F 0.952 (Canny 0.657)
    depth relative error 0.086 (background everywhere 0.477), within a quarter 0.907 (0.827)
    normals 2.8 degrees off (flat everywhere 5.9); motion 0.31 pixels off (none anywhere 0.79, TV-L1 0.31)
    generate: velocity error 0.080
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    extras = ("present", "parity", "saliency", "normals", "previous", "flow", "clip", "reference")
    c.data = dict(source="digit_scenes", size=32, batch_size=16, eval_batch_size=64, extras=extras)
    identity, quiet = dict(kind="identity"), dict(kind="gaussian", sigma=0.02)
    blur = dict(kind="blur", kernel="gaussian", std=1.0)
    c.observations = dict(
        clear=dict(operator=identity, noise=quiet),
        blurred=dict(operator=blur, noise=quiet),
        masked=dict(operator=dict(kind="mask", keep=0.5), noise=quiet),
        compressed=dict(operator=dict(kind="jpeg", quality=15), noise=dict(kind="none")),
        sensed=dict(operator=dict(kind="matrix_sensing", ratio=0.25, block=8), noise=dict(kind="none")),
        small=dict(
            operator=dict(kind="downsample", factor=2, std=0.6),
            noise=dict(kind="gaussian", sigma=0.01),
            given=("reference",),
            withheld=0.2,
        ),
        burst=dict(operator=dict(kind="burst", frames=4, factor=2), noise=dict(kind="gaussian", sigma=0.01)),
        film=dict(
            operator=dict(kind="burst", frames=5, factor=2, radius=0.0),
            noise=dict(kind="gaussian", sigma=0.01),
            clip="clip",
        ),
        cast=dict(operator=dict(kind="color_cast"), noise=quiet, given=("reference",), withheld=0.2),
        gray=dict(operator=dict(kind="color_matrix"), noise=dict(kind="gaussian", sigma=0.01)),
        pair=dict(operator=identity, noise=quiet, fused=("previous",)),
        ranged=dict(
            operator=dict(kind="blur", kernel="gaussian", std=2.0),
            noise=dict(kind="gaussian", sigma=0.1),
            fused=("depth",),
            withheld=0.3,
        ),
        noised=dict(operator=identity, noise=dict(kind="flow"), given=("label",), withheld=0.1),
    )
    restoring = dict(kind="decoder", width=16, depth=1)
    maps = dict(kind="unet_decoder", width=16)
    c.tasks = dict(
        # the image
        deblur=dict(kind="reconstruction", observation="blurred", head=dict(kind="nafnet_decoder", width=16)),
        inpaint=dict(kind="reconstruction", observation="masked", head=restoring),
        deblock=dict(kind="reconstruction", observation="compressed", head=restoring),
        sense=dict(kind="reconstruction", observation="sensed", head=restoring),
        enlarge=dict(kind="super_resolution", observation="small", head=dict(kind="upscale", width=16, depth=1)),
        zoom=dict(kind="super_resolution", observation="small", head=dict(kind="implicit", width=16, depth=1)),
        guided=dict(kind="super_resolution", observation="small", head=dict(kind="reference", width=16, depth=1)),
        merge=dict(kind="super_resolution", observation="burst", head=dict(kind="burst", width=16, depth=1)),
        video=dict(kind="super_resolution", observation="film", head=dict(kind="burst", width=16, depth=1)),
        detail=dict(kind="detail", observation="blurred", head=dict(kind="detail", width=16, depth=1)),
        balance=dict(kind="color", observation="cast"),
        style=dict(kind="color", observation="cast", head=dict(kind="reference", width=16, depth=1)),
        colorize=dict(kind="color", observation="gray", head=dict(kind="chroma", width=16, depth=1)),
        code=dict(kind="compression", observation="clear", weight=0.001, head=dict(kind="bottleneck", latents=12)),
        # what it shows
        digit=dict(kind="classification", observation="clear", head=dict(kind="pooled", width=64)),
        parity=dict(kind="classification", observation="clear", label="parity", head=dict(kind="pooled", width=32)),
        present=dict(kind="multilabel", observation="clear", head=dict(kind="pooled", width=64)),
        detect=dict(kind="detection", observation="clear", head=dict(kind="boxes", width=32)),
        segment=dict(kind="segmentation", observation="clear", head=maps, loss=dict(cross_entropy=1.0, dice=1.0)),
        figure=dict(kind="segmentation", observation="ranged", head=dict(kind="deeplab", width=16)),
        edges=dict(kind="boundary", observation="blurred", head=dict(kind="dense", width=16)),
        pieces=dict(kind="instances", observation="clear", head=maps),
        salient=dict(kind="saliency", observation="clear", head=maps),
        # its geometry
        depth=dict(kind="depth", observation="clear", head=dict(kind="dense", width=16)),
        normals=dict(kind="normals", observation="clear", head=maps),
        motion=dict(kind="flow", observation="pair", head=dict(kind="correlation", width=16)),
        # others like it
        generate=dict(kind="generation", observation="noised", head=dict(kind="velocity", width=32)),
    )
    c.model = dict(encoder=dict(kind="unet", width=16, depth=3, stem=2), sharing=dict(kind="hard", adapt="bias"))
    c.weighting = dict(kind="equal")
    c.optimizer = dict(kind="adamw", lr=2e-3, b2=0.95, schedule=dict(kind="warmup_cosine", warmup=50, final=0.05))
    c.train = dict(steps=4000, seed=0, ema=0.998, eval_every=2000)
    admm, nothing = dict(kind="admm", prior=dict(kind="tv")), dict(kind="constant")
    c.compare = dict(
        deblur=[dict(kind="wiener"), admm],
        inpaint=[admm],
        enlarge=[admm],
        merge=[dict(kind="multiframe_tv"), dict(kind="iterative_back_projection")],
        video=[dict(kind="multiframe_tv"), dict(kind="iterative_back_projection")],
        sense=[admm],
        balance=[dict(kind="gray_world")],
        edges=[dict(kind="canny")],
        salient=[dict(kind="spectral_residual")],
        motion=[dict(kind="tv_l1"), nothing],
        depth=[dict(kind="constant", values=(-1.0, 0.0, 0.3, 0.5413))],  # softplus(0.5413) is 1, the background
        normals=[nothing],
        segment=[nothing],
        figure=[nothing],
        digit=[nothing],
        code=[dict(kind="jpeg")],
    )
    return c
