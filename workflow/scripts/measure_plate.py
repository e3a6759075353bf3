from _job import job

with job(snakemake):
    from disentangledssl.sources.cellprofiler import measure_plate
    from disentangledssl.sources.download import fetch_all

    downloads = snakemake.config["downloads"]
    measure_plate(
        snakemake.input[0],
        snakemake.output[0],
        experiment=snakemake.wildcards.experiment,
        plate=snakemake.wildcards.plate,
        settings=snakemake.params.segmentation,
        # No param: whether images stay is no reason to measure their plate again.
        keep_images=snakemake.config["data"][snakemake.wildcards.dataset]["make"]["keep_images"],
        code=snakemake.params.code,
        folder=f"{downloads['folder']}/rxrx19a/images",
        fetch=lambda images: fetch_all(images, downloads),
    )
